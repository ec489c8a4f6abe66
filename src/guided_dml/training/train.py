"""Training the student's network: the same way for every method."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from guided_dml.blocks import ComputeParameters, Method, Task
from guided_dml.models.backbones import build_embedder
from guided_dml.models.weights import weights_of
from guided_dml.seeding import generator
from guided_dml.training.batches import DeviceImages, RandomBatches
from guided_dml.training.checkpoints import CheckpointStore
from guided_dml.training.fit import fit
from guided_dml.training.policy import Policy
from guided_dml.types import History, Tensors


def train_embedder(
    method: Method,
    task: Task,
    answers: Tensor,
    *,
    images: Tensor,
    rows: Tensor,
    normalisation: dict[str, list[float]] | None,
    compute: ComputeParameters,
    checkpoints: CheckpointStore | None,
) -> tuple[Tensors, History]:
    """Train a network to embed images as a method's objective wants it.

    With the same seed every method starts from the same weights and sees the same batches.

    Args:
        method: The objective, and its settings.
        task: Architecture and optimiser, the number of classes, the run's seed.
        answers: ``[N, ...]``, what the objective has to know of each image: labels or targets.
        images: uint8 ``[N, C, H, W]``.
        rows: int64 ``[M]``, the images to learn from.
        normalisation: Mean and standard deviation of each channel; None: train on 0-255 pixels.
        compute: Where to compute.
        checkpoints: Where a killed training goes on from.

    Returns:
        The network's weights by name, and a row of history an epoch.
    """
    student, seed = task.student, task.seed
    policy, objective = Policy.of(compute), method.objective(task)
    pixels = DeviceImages(images, normalisation, policy.device)
    on_device = answers.to(policy.device)
    network = build_embedder(
        seed, images.shape[1], student, unit_length=method.normalise_embeddings
    )
    parts = {"network": network}
    if isinstance(objective, nn.Module):
        parts["objective"] = objective
    model = policy.place(nn.ModuleDict(parts))

    def loss_of(model: Any, rows: Tensor) -> Tensor:
        embeddings = model["network"](pixels.take(rows))
        # Distances of bfloat16 would be too coarse to tell close embeddings apart.
        with torch.autocast(policy.device.type, enabled=False):
            return objective(embeddings.float(), on_device[rows])

    order = generator(seed, "student batches")
    batches = RandomBatches(rows.to(policy.device), student.batch_size, order)
    inputs = (method, student, policy, seed, normalisation or "raw", rows, answers, images)
    checkpoint = checkpoints.of(method.name, *inputs) if checkpoints else None
    history = fit(model, loss_of, batches, student, policy, "student", checkpoint)
    return weights_of(network), history.assign(seed=seed)
