"""The paper's method: the student follows GEMINI."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from guided_dml.blocks import Method, Task

if TYPE_CHECKING:
    from guided_dml.types import Objective


class Guided(Method):
    """The student follows GEMINI; S itself is ``student.similarity``."""

    title = "Guided"
    place = 0
    follows_teacher = True
    ranges: ClassVar = {"gemini.margin": (0.5, 10.0)}

    def objective(self, task: Task) -> Objective:
        """Return S of the student's and the teacher's embeddings."""
        from guided_dml.losses import guidance_loss

        return guidance_loss(task.student.similarity, task.student.gaussian_width)
