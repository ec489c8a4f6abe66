"""The multi-similarity loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from guided_dml.blocks import Float, Method, Positive, Task

if TYPE_CHECKING:
    from guided_dml.types import Objective


class MultiSimilarity(Method):
    """Weights pairs by their cosine similarity: how steeply, and around which similarity."""

    title = "Multi-Similarity"
    place = 4
    ranges: ClassVar = {
        "multi_similarity.alpha": (0.5, 10.0),
        "multi_similarity.beta": (5.0, 100.0),
        "multi_similarity.base": (0.1, 1.0),
    }

    alpha: Positive
    beta: Positive
    base: Float

    def objective(self, task: Task) -> Objective:
        """Return the loss over all pairs of a batch."""
        from pytorch_metric_learning import losses

        loss: Objective = losses.MultiSimilarityLoss(self.alpha, self.beta, self.base)
        return loss
