"""A batch of embeddings, and its pairs one by one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import torch
from torch import Tensor

from guided_dml.blocks import Task
from guided_dml.methods import METHODS
from guided_dml.parameters import Parameters
from guided_dml.types import Objective

CLASSES = 4


def points(device: str = "cpu", dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Return embeddings ``[30, 2]`` and their labels: more than cdist compares pair by pair."""
    source = torch.Generator().manual_seed(1)
    labels = torch.randint(CLASSES, (30,), generator=source)
    embeddings = 2 * torch.randn(30, 2, generator=source)
    return embeddings.to(device, dtype), labels.to(device)


def objective(name: str, parameters: Parameters, **settings: object) -> Objective:
    """Return a method's objective, with settings of its own on top of the project's."""
    block = getattr(parameters, name).model_dump() | settings
    return METHODS[name](**block).objective(Task(parameters.student, CLASSES, seed=0))


def pairs(embeddings: Tensor, labels: Tensor) -> Iterator[tuple[int, int, float, bool]]:
    """Yield two rows, their distance, and whether they are of one class."""
    for i, j in permutations(range(len(labels)), 2):
        distance = (embeddings[i] - embeddings[j]).norm().item()
        yield i, j, distance, bool(labels[i] == labels[j])


def triplets(embeddings: Tensor, labels: Tensor) -> Iterator[tuple[float, float]]:
    """Yield each triplet's distances of the anchor: to the positive, and to the negative."""
    found = list(pairs(embeddings, labels))
    for anchor, _, near, same in found:
        for other, _, far, of_own in found:
            if other == anchor and same and not of_own:
                yield near, far


def mean_above_zero(values: list[float]) -> float:
    """Return the mean of those above zero."""
    above = [value for value in values if value > 0]
    return sum(above) / len(above) if above else 0.0
