"""GEMINI's cost (Eq. 5), and the similarities S that guide the student."""

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
