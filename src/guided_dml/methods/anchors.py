"""Control: would fixed points do as targets, in place of GEMINI's embeddings?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from guided_dml.blocks import Method, Positive, Task

if TYPE_CHECKING:
    from torch import Tensor

    from guided_dml.types import Objective


class Anchors(Method):
    """Every class has a fixed point as its target, neighbours ``margin`` apart."""

    title = "Anchors (control)"
    place = 5
    ranges: ClassVar = {"anchors.margin": (0.5, 10.0)}
    scale_of_targets = "anchors.margin"

    margin: Positive

    def answers(self, task: Task, labels: Tensor) -> Tensor:
        """Return the point of each image's class."""
        dimension = task.student.embedding_dimension
        return anchor_points(task.classes, dimension, self.margin, task.seed)[labels]

    def objective(self, task: Task) -> Objective:
        """Return S of embeddings and points."""
        from guided_dml.losses import guidance_loss

        return guidance_loss(task.student.similarity, task.student.gaussian_width)


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
    import torch
    from torch.nn.functional import normalize

    from guided_dml.seeding import generator

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
            between = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
            near = (1 / (between**3 + 1e-6)).fill_diagonal_(0)
            push = (near.sum(1, keepdim=True) * points - near @ points) / classes
            # (no further than to the nearest: many in few dimensions would jump about)
            most = between.fill_diagonal_(math.inf).amin(1, keepdim=True)
            push *= (most / push.norm(dim=1, keepdim=True)).clamp(max=1)
            points = normalize(points + push, dim=1)
    return points * (margin / torch.pdist(points).min())
