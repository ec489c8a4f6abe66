"""What the master teaches, and how it learned it."""

from __future__ import annotations

from matplotlib.figure import Figure

from guided_dml.figures.curves import draw_losses
from guided_dml.figures.plane import Points
from guided_dml.figures.scatter import draw_points, legend_of_classes
from guided_dml.types import History

HEADING = "the teacher: where each training image should go"


def teacher_figure(points: Points, history: History, classes: list[str]) -> Figure:
    """Draw the teacher embeddings beside GEMINI's loss.

    Args:
        points: The teacher embeddings in the plane.
        history: GEMINI's training.
        classes: The class names.
    """
    figure = Figure(figsize=(13, 5.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_points(left, points, len(classes))
    left.set_ylabel(points.axes[1], fontsize=9)
    draw_losses(right, history)
    right.set_title("GEMINI's loss (Eq. 5)", fontsize=11)
    legend_of_classes(figure, left, classes)
    figure.suptitle(HEADING, fontsize=13)
    return figure
