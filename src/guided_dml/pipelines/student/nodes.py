"""Training the student: guided by the teacher (offline distillation), or from labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from guided_dml.blocks import ComputeParameters, StudentParameters, Task
from guided_dml.errors import InputError
from guided_dml.inference.card import Card
from guided_dml.methods import METHODS
from guided_dml.types import Checkpoints, History, Tensors

if TYPE_CHECKING:
    from torch import Tensor

#: The parameters student.* that a card tells: what a network is built from, and how it learned.
NETWORK = ("backbone", "stem", "embedding_dimension", "flip", "shift", "average")


def train_student(
    train_images: Tensors,
    normalisation: dict[str, list[float]],
    split: Tensors,
    classes: list[str],
    data_report: dict[str, Any],
    student: StudentParameters,
    settings: dict[str, Any],
    raw_pixel_training: bool,
    flip_average: bool,
    compute: ComputeParameters,
    seed: int,
    checkpoints: Checkpoints,
    teacher_embeddings: Tensors | None = None,
    *,
    method: str,
) -> tuple[Tensors, History, Card] | tuple[Tensors, History, Card, Tensors]:
    """Train the student on the images of ``split.train``.

    With the same seed every method starts from the same weights and sees the same batches.

    Args:
        train_images: The training set.
        normalisation: Its mean and standard deviation.
        split: ``train``: the images to learn from.
        classes: Their names, for the card.
        data_report: How the images were read, for the card.
        student: Architecture and optimiser.
        settings: The method's block of parameters.
        raw_pixel_training: Whether to train on 0-255 pixels.
        flip_average: Whether images are embedded with their mirror images, for the card.
        compute: Where to compute.
        seed: The run's seed.
        checkpoints: Where a killed training goes on from.
        teacher_embeddings: Targets of ``split.train``, in the same order; None: learn from labels.
        method: Its name.

    Returns:
        The weights by name, a row of history an epoch, what the network expects and is; and of a
        method that classifies its head: ``weight`` float32 ``[C, D]`` and ``bias`` ``[C]``.

    Raises:
        InputError: The teacher embeddings belong to other images, or are of another dimension.
    """
    from guided_dml.models.weights import hash_of_weights
    from guided_dml.training.train import train_embedder

    labels, rows = train_images["labels"], split["train"]
    task = Task(student, classes=int(labels.max()) + 1, seed=seed)
    objective = METHODS[method].model_validate(settings)
    if teacher_embeddings is None:
        answers = objective.answers(task, labels)
    else:
        answers = _targets(teacher_embeddings, labels, rows, student.embedding_dimension)
    weights, history, head = train_embedder(
        objective,
        task,
        answers,
        images=train_images["images"],
        rows=rows,
        normalisation=None if raw_pixel_training else normalisation,
        compute=compute,
        checkpoints=checkpoints,
    )
    channels, height, width = train_images["images"].shape[1:]
    began_with = {"pretrained": Path(student.pretrained).name} if student.pretrained else {}
    card = Card(
        method=method,
        seed=seed,
        image_shape=(channels, height, width),
        **{"resize": "squash", "background": "white"} | data_report.get("reading", {}),
        normalisation=normalisation,
        classes=classes,
        student={name: getattr(student, name) for name in NETWORK} | began_with,
        unit_length=objective.normalise_embeddings,
        flip_average=flip_average,
        target_scale=student.target_scale if answers.is_floating_point() else None,
        weights=hash_of_weights(weights),
    )
    trained = weights, history, card
    return (*trained, head) if objective.classifies else trained


def _targets(teacher: Tensors, labels: Tensor, rows: Tensor, dimension: int) -> Tensor:
    """Return float32 ``[N, D]``: the teacher's embedding of each image of ``rows``."""
    embeddings = teacher["embeddings"]
    if not teacher["labels"].equal(labels[rows]):
        raise InputError(
            "teacher_embeddings belong to another split of the training set (another cap, "
            "split_seed or validation_share); run the pipelines triplets, gemini and "
            "teacher_embeddings again, or bring back matching versions with --load-versions"
        )
    if embeddings.shape[1] != dimension:
        raise InputError(
            f"student.embedding_dimension: {dimension} given, but the teacher embeddings have "
            f"{embeddings.shape[1]}; run the pipelines gemini and teacher_embeddings again"
        )
    targets = embeddings.new_zeros(len(labels), dimension)
    targets[rows] = embeddings
    return targets
