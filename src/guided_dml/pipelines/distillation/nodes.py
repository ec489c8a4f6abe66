"""Offline distillation: the student learns where the teacher puts each training image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guided_dml.errors import InputError
from guided_dml.parameters import ComputeParameters, GuidedParameters, StudentParameters
from guided_dml.types import Checkpoints, History, Tensors

if TYPE_CHECKING:
    from torch import Tensor


def train_student(
    train_images: Tensors,
    normalisation: dict[str, list[float]],
    split: Tensors,
    teacher_embeddings: Tensors,
    student: StudentParameters,
    guided: GuidedParameters,
    raw_pixel_training: bool,
    compute: ComputeParameters,
    seed: int,
    checkpoints: Checkpoints,
) -> tuple[Tensors, History]:
    """Train the student to put every image of ``split.train`` where the teacher does.

    Args:
        train_images: The training set; its labels are not used.
        normalisation: Its mean and standard deviation.
        split: ``train``: the images to learn from.
        teacher_embeddings: Their targets, in the same order.
        student: Architecture, similarity and optimiser.
        guided: Settings of the method.
        raw_pixel_training: Whether to train on 0-255 pixels.
        compute: Where to compute.
        seed: The run's seed.
        checkpoints: Where a killed training goes on from.

    Returns:
        The weights by name, and a row of history an epoch.

    Raises:
        InputError: The teacher embeddings belong to other images, or are of another dimension.
    """
    import torch

    from guided_dml.losses import guidance_loss
    from guided_dml.training.train import train_embedder

    rows, images = split["train"], train_images["images"]
    _check_targets(teacher_embeddings, train_images["labels"][rows], student)
    targets = torch.zeros(len(images), student.embedding_dimension)
    targets[rows] = teacher_embeddings["embeddings"]
    return train_embedder(
        guidance_loss(student.similarity, student.gaussian_width),
        targets,
        guided,
        images=images,
        rows=rows,
        normalisation=None if raw_pixel_training else normalisation,
        student=student,
        compute=compute,
        seed=seed,
        checkpoints=checkpoints,
    )


def _check_targets(teacher: Tensors, labels: Tensor, student: StudentParameters) -> None:
    if not teacher["labels"].equal(labels):
        raise InputError(
            "teacher_embeddings belong to another split of the training set (another cap, "
            "split_seed or validation_share); run the pipelines triplets, gemini and "
            "teacher_embeddings again, or bring back matching versions with --load-versions"
        )
    dimension = teacher["embeddings"].shape[1]
    if dimension != student.embedding_dimension:
        raise InputError(
            f"student.embedding_dimension: {student.embedding_dimension} given, but the teacher "
            f"embeddings have {dimension}; run the pipelines gemini and teacher_embeddings again"
        )
