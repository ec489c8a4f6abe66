"""What a killed training needs to go on as if nothing had happened."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor, nn
from torch.optim import SGD

from guided_dml.training.optimiser import weights_in

logger = logging.getLogger(__name__)


@dataclass
class Checkpoint:
    """The last state of one training, in one file.

    Attributes:
        path: The file; it is written beside its place and renamed, so it is whole or absent.
        interval: Seconds from one writing to the next, at the ends of epochs.
        saved: When it was last written.
    """

    path: Path
    interval: float
    saved: float

    def save_if_due(
        self,
        state: nn.Module,
        optimiser: SGD,
        generator: torch.Generator | None,
        rows: list[Any],
        *,
        last: bool = False,
    ) -> None:
        """Store the state at the end of an epoch, if the last one stored is old enough.

        The ``last`` epoch's is stored in any case: the run may be killed in a later step.
        """
        if monotonic() - self.saved < self.interval and not last:
            return
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        tensors = dict(state.state_dict())
        for index, weight in enumerate(weights_in(optimiser)):
            momentum = optimiser.state.get(weight, {}).get("momentum_buffer")
            if momentum is not None:
                tensors[f"momentum.{index}"] = momentum
        if generator is not None:
            tensors["generator"] = generator.get_state()
        stored, known = {}, set()
        for name, value in tensors.items():
            stored[name] = _flat(value).cpu()
            if stored[name].data_ptr() in known:  # (a layer that stands in two places)
                stored[name] = stored[name].clone()
            known.add(stored[name].data_ptr())
        partial = _under_way(self.path) / str(os.getpid())
        try:
            partial.parent.mkdir(parents=True, exist_ok=True)
            save_file(stored, partial, metadata={"history": json.dumps(rows)})
            os.replace(partial, self.path)
        except (OSError, SafetensorError) as error:  # (a full disk: the training goes on)
            logger.warning("no checkpoint could be written: %s", error)
            with suppress(OSError):
                partial.unlink()
        self.saved = monotonic()

    def restore(
        self, state: nn.Module, optimiser: SGD, generator: torch.Generator | None
    ) -> list[Any]:
        """Put the stored state back, where there is one.

        Returns:
            The rows of history so far; none without a checkpoint that can be read.
        """
        if not self.path.exists():
            return []
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path, "pt") as file:  # (one opening: the file may be replaced)
                rows: list[Any] = json.loads(file.metadata()["history"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:  # (a machine that went down may leave it so)
            logger.warning("%s: damaged (%s); the training begins anew", self.path, error)
            return []
        for name, value in state.state_dict().items():
            _flat(value).copy_(tensors[name])
        for index, parameter in enumerate(weights_in(optimiser)):
            if f"momentum.{index}" in tensors:
                momentum = torch.empty_like(parameter)
                _flat(momentum).copy_(tensors[f"momentum.{index}"])
                optimiser.state[parameter]["momentum_buffer"] = momentum
        if generator is not None:
            generator.set_state(tensors["generator"])
        return rows


class CheckpointStore:
    """A folder of checkpoints, each under a hash of all that its training depends on."""

    def __init__(self, folder: Path, interval: float = 10.0) -> None:
        """Remember the folder; it is made when the first checkpoint is due.

        Args:
            folder: Of the checkpoints.
            interval: Seconds between two checkpoints of a training.
        """
        self._folder, self._interval = folder, interval
        self._used: list[Path] = []
        self.resumed = False
        """Whether a training went on from where another process had left it."""

    def of(self, name: str, *inputs: object) -> Checkpoint:
        """Return the checkpoint of a training.

        Args:
            name: What is trained.
            inputs: All that the result depends on: parameters, policy and data.
        """
        known = ("torch", "torchvision", "timm", "pytorch-metric-learning")
        libraries = [version(name) for name in known]  # (they build networks, and losses)
        key = fingerprint(libraries, _source_code(), *inputs)
        path = self._folder / f"{name}-{key}.safetensors"
        self._used.append(path)
        self.resumed |= path.exists()
        return Checkpoint(path, self._interval, saved=monotonic())

    def remove_used(self) -> None:
        """Remove the checkpoints of finished trainings: their results are stored."""
        for path in self._used:
            path.unlink(missing_ok=True)
            shutil.rmtree(_under_way(path), ignore_errors=True)
        self._used.clear()


def _under_way(path: Path) -> Path:
    """Return a checkpoint's folder for what is being written.

    safetensors writes beside the file under a name of its own, which it leaves when it is killed.
    """
    return path.with_suffix(".partial")


def fingerprint(*inputs: object) -> str:
    """Return a hash of parameters (models, numbers, text, dictionaries) and tensors."""
    digest = hashlib.sha256()
    for value in inputs:
        if isinstance(value, dict):
            digest.update(
                fingerprint(*(part for item in sorted(value.items()) for part in item)).encode()
            )
        elif isinstance(value, Tensor):
            array = value.cpu().numpy()
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        else:
            text = value.model_dump_json() if isinstance(value, BaseModel) else repr(value)
            digest.update(f"{text};".encode())
    return digest.hexdigest()[:16]


def _source_code() -> str:
    """Return the code that decides how a training goes on: another is another training."""
    package = Path(__file__).parents[1]
    folders = ("methods", "models", "training", "pipelines/gemini")
    files = [package / "losses.py", package / "seeding.py"]
    files += chain(*(package.glob(f"{folder}/*.py") for folder in folders))
    return "".join(file.read_text("utf-8") for file in sorted(files))


def _flat(tensor: Tensor) -> Tensor:
    """Return the numbers as they lie in memory, channels last or first: a view, not a copy."""
    return tensor.detach().as_strided((tensor.numel(),), (1,))
