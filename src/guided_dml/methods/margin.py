"""The margin loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from guided_dml.blocks import Method, Positive, Task

if TYPE_CHECKING:
    from guided_dml.types import Objective


class Margin(Method):
    """Positives nearer than ``beta - margin``, negatives farther than ``beta + margin``."""

    title = "Margin"
    place = 3
    ranges: ClassVar = {"margin.margin": (0.05, 1.0), "margin.beta": (0.3, 5.0)}

    margin: Positive
    beta: Positive

    def objective(self, task: Task) -> Objective:
        """Return the loss over all triplets of a batch."""
        from pytorch_metric_learning import distances, losses

        plain = distances.LpDistance(normalize_embeddings=False)
        loss: Objective = losses.MarginLoss(margin=self.margin, beta=self.beta, distance=plain)
        return loss
