"""GEMINI's cost (Eq. 5), the similarities S that guide the student, and the triplet loss."""

from __future__ import annotations

import torch
from torch import Tensor

from guided_dml.blocks import Similarity
from guided_dml.types import Objective


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


def triplet_loss(embeddings: Tensor, labels: Tensor, *, margin: float) -> Tensor:
    """Return the mean violation of those triplets of a batch that violate a margin.

    All anchors, positives and negatives: ``||z_a - z_p|| - ||z_a - z_n|| + margin`` (Schroff et al.
    2015, the mean over those above 0), what pytorch-metric-learning's TripletMarginLoss gives. The
    sum is linear in the distances, and counting in sorted rows says how often each is in it: N^2
    numbers in place of the N^3 triplets, which are 11 million in a batch of 500.

    Args:
        embeddings: float ``[N, D]``.
        labels: int64 ``[N]``.
        margin: How much farther than the positive the negative has to be.

    Returns:
        A scalar; 0 where no triplet violates the margin.
    """
    between = torch.cdist(embeddings, embeddings, compute_mode="donot_use_mm_for_euclid_dist")
    same = labels[:, None] == labels
    positive = same.clone().fill_diagonal_(False)
    with torch.no_grad():
        limits = (between + margin).where(positive, torch.inf)
        nearer = torch.searchsorted(between.where(~same, torch.inf).sort().values, limits)
        kept = torch.searchsorted(limits.sort().values, between, right=True)
        as_positive = nearer.where(positive, 0)
        as_negative = (positive.sum(1, keepdim=True) - kept).where(~same, 0)
        violations = as_positive.sum()
        often = (as_positive - as_negative).to(between.dtype) / violations.clamp(min=1)
    return (often * between).sum() + margin * violations.clamp(max=1)


def spread(points: Tensor) -> Tensor:
    """Return the RMS distance of points, float ``[N, D]``, from their mean: their scale."""
    return (points - points.mean(0)).square().sum(1).mean().sqrt()


def guidance_loss(name: Similarity, width: float) -> Objective:
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
