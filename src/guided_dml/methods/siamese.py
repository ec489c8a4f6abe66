"""The Siamese network's contrastive loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from guided_dml.blocks import Method, Positive, Task

if TYPE_CHECKING:
    from guided_dml.types import Objective


class Siamese(Method):
    """Siamese network: positives together, negatives at least ``margin`` apart."""

    title = "Siamese"
    place = 1
    ranges: ClassVar = {"siamese.margin": (0.3, 10.0)}

    margin: Positive

    def objective(self, task: Task) -> Objective:
        """Return the contrastive loss over all pairs of a batch."""
        from pytorch_metric_learning import distances, losses

        plain = distances.LpDistance(normalize_embeddings=False)
        loss: Objective = losses.ContrastiveLoss(neg_margin=self.margin, distance=plain)
        return loss
