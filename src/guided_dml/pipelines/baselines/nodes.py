"""Training what the guided student is compared with."""

from __future__ import annotations

from typing import Any

from guided_dml.parameters import ComputeParameters, StudentParameters, baseline_parameters
from guided_dml.types import Checkpoints, History, Tensors


def train_baseline(
    train_images: Tensors,
    normalisation: dict[str, list[float]],
    split: Tensors,
    student: StudentParameters,
    baseline: dict[str, Any],
    raw_pixel_training: bool,
    compute: ComputeParameters,
    seed: int,
    checkpoints: Checkpoints,
) -> tuple[Tensors, History]:
    """Train the student's network with the loss of a baseline in place of the teacher.

    With the same seed it starts from the same weights and sees the same batches as the student.

    Args:
        train_images: The training set.
        normalisation: Its mean and standard deviation.
        split: ``train``: the images to learn from.
        student: Architecture and optimiser.
        baseline: The loss and its settings: a block of parameters.
        raw_pixel_training: Whether to train on 0-255 pixels.
        compute: Where to compute.
        seed: The run's seed.
        checkpoints: Where a killed training goes on from.

    Returns:
        The weights by name, and a row of history an epoch.
    """
    from guided_dml.losses import baseline_objective
    from guided_dml.training.train import train_embedder

    labels, settings = train_images["labels"], baseline_parameters(baseline)
    return train_embedder(
        baseline_objective(settings, int(labels.max()) + 1, student, seed),
        labels,
        settings,
        images=train_images["images"],
        rows=split["train"],
        normalisation=None if raw_pixel_training else normalisation,
        student=student,
        compute=compute,
        seed=seed,
        checkpoints=checkpoints,
    )
