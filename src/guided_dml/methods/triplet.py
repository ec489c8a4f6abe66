"""The triplet margin loss."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from guided_dml.blocks import Method, Positive, Task

if TYPE_CHECKING:
    from guided_dml.types import Objective


class Triplet(Method):
    """The negative at least ``margin`` farther from the anchor than the positive."""

    title = "Triplet"
    place = 2
    ranges: ClassVar = {"triplet.margin": (0.3, 10.0)}

    margin: Positive

    def objective(self, task: Task) -> Objective:
        """Return the loss over all triplets of a batch."""
        from guided_dml.losses import triplet_loss

        return partial(triplet_loss, margin=self.margin)
