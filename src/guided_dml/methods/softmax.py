"""Control: what does a plain classifier give?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from guided_dml.blocks import Method, Task

if TYPE_CHECKING:
    from torch import Tensor

    from guided_dml.types import Objective


class Softmax(Method):
    """A classifier on top of the embedding, trained with cross-entropy."""

    title = "Softmax (control)"
    place = 6
    classifies = True

    def objective(self, task: Task) -> Objective:
        """Return the cross-entropy of a linear layer's logits."""
        from torch import nn
        from torch.nn.functional import cross_entropy

        from guided_dml.seeding import initial_weights

        class Classifier(nn.Linear):
            def forward(  # type: ignore[override]
                self, embeddings: Tensor, labels: Tensor
            ) -> Tensor:
                return cross_entropy(super().forward(embeddings), labels)

        with initial_weights(task.seed, "classifier"):
            return Classifier(task.student.embedding_dimension, task.classes)
