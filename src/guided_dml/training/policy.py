"""The one place that decides where and how precisely to compute."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from guided_dml.errors import InputError
from guided_dml.parameters import ComputeParameters

# PyTorch reads it once, at the process's first matrix product on a GPU; without it a
# deterministic one raises.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@dataclass(frozen=True)
class Policy:
    """Device, precision and determinism of a piece of work.

    Attributes:
        device: Where the model and the images live.
        autocast: The reduced precision of the forward pass, or None for float32 throughout.
        deterministic: Whether only kernels that repeat their result exactly are allowed.
    """

    device: torch.device
    autocast: torch.dtype | None = None
    deterministic: bool = False

    @classmethod
    def of(cls, parameters: ComputeParameters) -> Policy:
        """Return the policy that ``parameters`` ask for on this machine.

        ``auto`` takes the GPU where there is one; bfloat16 there if the card computes in it,
        float32 on a CPU, where bfloat16 was not measured to be faster.

        Raises:
            InputError: ``cuda`` is asked for and not there.
        """
        if parameters.device == "cuda" and not torch.cuda.is_available():
            raise InputError("compute.device: no CUDA GPU is at hand; use 'auto' or 'cpu'")
        on_gpu = parameters.device != "cpu" and torch.cuda.is_available()
        reduced = parameters.precision == "bfloat16" or (
            parameters.precision == "auto" and on_gpu and torch.cuda.is_bf16_supported()
        )
        return cls(
            device=torch.device("cuda" if on_gpu else "cpu"),
            autocast=torch.bfloat16 if reduced else None,
            deterministic=parameters.deterministic,
        )

    @contextmanager
    def active(self) -> Iterator[None]:
        """Set PyTorch's global switches for the work inside, then put them back."""
        before = (
            torch.are_deterministic_algorithms_enabled(),
            torch.backends.cudnn.deterministic,
            torch.backends.cudnn.benchmark,
        )
        torch.use_deterministic_algorithms(self.deterministic)
        torch.backends.cudnn.deterministic = self.deterministic
        torch.backends.cudnn.benchmark = not self.deterministic
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before[0])
            torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = before[1:]

    def forward_precision(self) -> torch.autocast:
        """Return the context of a forward pass."""
        return torch.autocast(
            self.device.type, dtype=self.autocast, enabled=self.autocast is not None
        )
