"""A network for each fold of the audit, which has seen the other folds only."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from guided_dml.blocks import (
    AuditParameters,
    ComputeParameters,
    GeminiParameters,
    StudentParameters,
    TripletParameters,
)
from guided_dml.errors import InputError
from guided_dml.inference.card import Card
from guided_dml.methods import METHODS
from guided_dml.pipelines.gemini.nodes import train_gemini
from guided_dml.pipelines.ingestion.nodes import fit_normalisation
from guided_dml.pipelines.student.nodes import train_student
from guided_dml.pipelines.teacher_embeddings.nodes import embed_with_gemini
from guided_dml.pipelines.triplets.nodes import draw_triplets
from guided_dml.types import Checkpoints, Tensors

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)


def train_on_others(
    train_images: Tensors,
    split: Tensors,
    classes: list[str],
    triplets: TripletParameters,
    gemini: GeminiParameters,
    student: StudentParameters,
    settings: dict[str, Any],
    raw_pixel_training: bool,
    compute: ComputeParameters,
    seed: int,
    checkpoints: Checkpoints,
    method: str,
) -> tuple[Tensors, Card]:
    """Return a network that learned from ``split.train`` alone."""
    normalisation, teacher = fit_normalisation(train_images, split), None
    if METHODS[method].follows_teacher:
        drawn = draw_triplets(train_images, split, classes, triplets, seed)
        master = (gemini, student.embedding_dimension, raw_pixel_training, compute)
        gemini_weights, _ = train_gemini(
            train_images, normalisation, drawn, split, *master, seed, checkpoints
        )
        teacher = embed_with_gemini(gemini_weights, train_images, normalisation, split, *master)
    weights, _, card, *_ = train_student(
        train_images,
        normalisation,
        split,
        classes,
        {},
        student,
        settings,
        raw_pixel_training,
        False,
        compute,
        seed,
        checkpoints,
        teacher,
        method=method,
    )
    return weights, card


def features_of(
    weights: Tensors,
    card: Card,
    sets: list[Tensor],
    raw_pixels: bool,
    batch_size: int,
    compute: ComputeParameters,
) -> list[Tensor]:
    """Return what a network sees in images before its last layer, float32 ``[N, F]`` a set."""
    from guided_dml.models.backbones import embedder_of, split_head
    from guided_dml.training.batches import DeviceImages
    from guided_dml.training.embed import embed
    from guided_dml.training.policy import Policy

    policy = Policy.of(compute)
    trunk = policy.place(split_head(embedder_of(card, weights))[0])
    normalisation = None if raw_pixels else card.normalisation
    return [
        embed(
            trunk,
            DeviceImages(images, normalisation, policy.device),
            policy,
            batch_size=batch_size,
            description="features",
        ).flatten(1)
        for images in sets
    ]


def check_size(labels: NDArray[np.int64], classes: list[str], audit: AuditParameters) -> None:
    """Refuse folds that leave too little of a class or too few neighbours to learn from."""
    counts, folds = np.bincount(labels, minlength=len(classes)), audit.folds
    smallest = int(counts.argmin())
    count, left = int(counts[smallest]), counts - -(-counts // folds)
    if count < folds or left[smallest] < 2:
        few = "remove it or add images"
        remedy = f"audit.folds={count} or a lower number, or {few}" if count > 2 else few
        raise InputError(
            f"audit.folds: {folds} given, but class {classes[smallest]!r} has {count} training "
            f"images; each fold needs one, and has to leave two to learn from ({remedy})"
        )
    others = len(labels) - -(-len(labels) // folds)
    if others < audit.neighbours:
        raise InputError(
            f"audit.neighbours: {audit.neighbours} given, but {others} training images are left "
            f"outside a fold of {len(labels)}; at most that many can vote"
        )
    hopeless = np.flatnonzero(left <= (1 - audit.majority) * audit.neighbours + 1e-9)
    if len(hopeless):
        logger.warning(
            "of %s, %d of %d classes, so few images are left outside a fold that %d neighbours "
            "can outvote any label: all of them may be called wrong (a lower audit.neighbours, or "
            "a higher audit.majority)",
            repr(classes[hopeless[0]]),
            len(hopeless),
            len(classes),
            audit.neighbours,
        )
