"""GEMINI's cost (Eq. 5), the similarities S that guide the student, and the baselines' losses."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from guided_dml.parameters import (
    AnchorsParameters,
    BaselineParameters,
    ContrastiveParameters,
    MarginLossParameters,
    MultiSimilarityParameters,
    Similarity,
    StudentParameters,
    TripletLossParameters,
)
from guided_dml.seeding import generator, initial_weights

#: What a network learns from: embeddings, float ``[B, D]``, and what is known of each image (its
#: label, int64 ``[B]``, or its target, float ``[B, D]``), to a scalar.
Objective = Callable[[Tensor, Tensor], Tensor]


def gemini_loss(
    local_anchors: Tensor,
    local_positives: Tensor,
    anchors: Tensor,
    positives: Tensor,
    negatives: Tensor,
    *,
    beta: float,
    margin: float,
) -> Tensor:
    """Return GEMINI's cost for the triplets of one class pair (paper, Eq. 5).

    ``beta * mean ||h_a - h_p|| + (1 - beta) * mean max(0, ||z_a - z_p|| - ||z_a - z_n|| + margin)``

    Args:
        local_anchors: float ``[B, L]``, h of the anchors: the output of their class's stream.
        local_positives: float ``[B, L]``, h of the positives.
        anchors: float ``[B, D]``, z of the anchors: the output of the shared head.
        positives: float ``[B, D]``, z of the positives.
        negatives: float ``[B, D]``, z of the negatives.
        beta: Weight of the local term, in [0, 1].
        margin: How much farther than the positive the negative has to be.

    Returns:
        A scalar.
    """
    local = distances(local_anchors, local_positives).mean()
    violation = distances(anchors, positives) - distances(anchors, negatives) + margin
    return beta * local + (1 - beta) * violation.clamp(min=0).mean()


def distances(first: Tensor, second: Tensor) -> Tensor:
    """Return the L2 distance (not squared) of each row pair; its gradient at distance 0 is 0.

    Args:
        first: float ``[N, D]``.
        second: float ``[N, D]``.

    Returns:
        float ``[N]``.
    """
    lengths: Tensor = torch.linalg.vector_norm(first - second, dim=1)
    return lengths


def guidance_loss(name: Similarity, width: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the loss that draws student embeddings to the teacher's (paper, section 3.2).

    Args:
        name: ``l2``: mean distance, the paper's choice; ``cosine``: mean of 1 - cosine;
            ``gaussian``: mean of ``1 - exp(-d^2 / (2 width^2))``.
        width: Standard deviation of ``gaussian``, in units of the embedding space.

    Returns:
        A function of student and teacher embeddings, both float ``[N, D]``, to a scalar.
    """

    def l2(student: Tensor, teacher: Tensor) -> Tensor:
        return distances(student, teacher).mean()

    def cosine(student: Tensor, teacher: Tensor) -> Tensor:
        return (1 - torch.cosine_similarity(student, teacher, dim=1)).mean()

    def gaussian(student: Tensor, teacher: Tensor) -> Tensor:
        squared = (student - teacher).square().sum(dim=1)
        return (1 - torch.exp(-squared / (2 * width**2))).mean()

    return {"l2": l2, "cosine": cosine, "gaussian": gaussian}[name]


def baseline_objective(
    loss: BaselineParameters, classes: int, student: StudentParameters, seed: int
) -> nn.Module:
    """Return the objective of a baseline: of embeddings and labels, it is an ``Objective``.

    The pair-based losses are pytorch-metric-learning's, with its reducers, over all pairs or
    triplets of a batch. Distances are those of the embeddings as they come: their length is the
    business of ``normalise_embeddings``, not of the loss.

    Args:
        loss: Which one, and its settings.
        classes: C.
        student: Its embedding dimension D, and the similarity S that ``anchors`` shares.
        seed: Of what an objective draws: the order of the anchors, a classifier's weights.
    """
    dimension = student.embedding_dimension
    if isinstance(loss, AnchorsParameters):
        points = anchor_points(classes, dimension, loss.margin, seed)
        return _Anchors(points, guidance_loss(student.similarity, student.gaussian_width))
    if not isinstance(loss, _PAIR_BASED):
        with initial_weights(seed, "classifier"):
            return _Classifier(dimension, classes)
    # (takes seconds to import, so only these pay for it)
    from pytorch_metric_learning import distances, losses

    plain = distances.LpDistance(normalize_embeddings=False)
    chosen: nn.Module
    if isinstance(loss, ContrastiveParameters):
        chosen = losses.ContrastiveLoss(neg_margin=loss.margin, distance=plain)
    elif isinstance(loss, TripletLossParameters):
        chosen = losses.TripletMarginLoss(margin=loss.margin, distance=plain)
    elif isinstance(loss, MarginLossParameters):
        chosen = losses.MarginLoss(margin=loss.margin, beta=loss.beta, distance=plain)
    else:
        chosen = losses.MultiSimilarityLoss(alpha=loss.alpha, beta=loss.beta, base=loss.base)
    return chosen


_PAIR_BASED = (
    ContrastiveParameters,
    TripletLossParameters,
    MarginLossParameters,
    MultiSimilarityParameters,
)


def anchor_points(classes: int, dimension: int, margin: float, seed: int) -> Tensor:
    """Return a fixed target for each class, the nearest two ``margin`` apart.

    In the plane they stand evenly on a circle of radius ``margin / (2 sin(pi / C))``, the order of
    the classes drawn by the seed; on a line evenly; in more dimensions on a sphere, random points
    that pushed each other away.

    Args:
        classes: C.
        dimension: D.
        margin: The smallest distance.
        seed: Of the draw.

    Returns:
        float32 ``[C, D]``, centred at 0.
    """
    source = generator(seed, "anchors")
    order = torch.randperm(classes, generator=source)
    if dimension == 1:
        points = order[:, None] - (classes - 1) / 2
    elif dimension == 2:
        angles = 2 * math.pi * order / classes
        points = torch.stack([angles.cos(), angles.sin()], dim=1)
    else:
        points = normalize(torch.randn(classes, dimension, generator=source), dim=1)
        for _ in range(200):  # (each away from all, the near ones most)
            away = points[:, None] - points
            push = away / (away.square().sum(2, keepdim=True) ** 1.5 + 1e-6)
            points = normalize(points + push.sum(1) / classes, dim=1)
    return points.float() * (margin / torch.pdist(points.float()).min())


class _Anchors(nn.Module):
    points: Tensor

    def __init__(self, points: Tensor, similarity: Objective) -> None:
        super().__init__()
        self.register_buffer("points", points)
        self._similarity = similarity

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        return self._similarity(embeddings, self.points[labels])


class _Classifier(nn.Module):
    def __init__(self, dimension: int, classes: int) -> None:
        super().__init__()
        self._layer = nn.Linear(dimension, classes)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        logits: Any = self._layer(embeddings)
        return cross_entropy(logits, labels)
