"""Every random draw of a run comes from its one seed, each purpose with a stream of its own."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derived_seed(seed: int, purpose: str) -> int:
    """Return a 63-bit seed that differs from purpose to purpose.

    Two purposes that shared one stream would be correlated: say, the order of the batches with
    the choice of the triplets.
    """
    words = np.random.SeedSequence([seed, zlib.crc32(purpose.encode())]).generate_state(2)
    return int(words[0]) << 31 | int(words[1]) >> 1


def generator(seed: int, purpose: str) -> torch.Generator:
    """Return a CPU generator for ``purpose``: the same draws on every device."""
    return torch.Generator().manual_seed(derived_seed(seed, purpose))


@contextmanager
def initial_weights(seed: int, purpose: str) -> Iterator[None]:
    """Seed what a module's constructor draws, and leave the global generator as it was.

    PyTorch's initialisers take no generator, so the global one is borrowed.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derived_seed(seed, purpose))
        yield
