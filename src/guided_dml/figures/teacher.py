"""What the master teaches, and how it learned it."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from numpy.typing import NDArray

from guided_dml.figures.curves import draw_losses
from guided_dml.figures.embedding import MOST_POINTS, draw_points, legend_of_classes
from guided_dml.figures.plane import to_plane
from guided_dml.types import History


def teacher_figure(
    teacher: dict[str, NDArray[Any]], history: History, classes: list[str]
) -> Figure:
    """Draw the teacher embeddings beside GEMINI's loss.

    Args:
        teacher: ``embeddings`` float ``[N, D]`` and ``labels`` int64 ``[N]``.
        history: GEMINI's training.
        classes: The class names.
    """
    points = to_plane({"training images through GEMINI": teacher}, MOST_POINTS)[0]
    figure = Figure(figsize=(13, 5.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_points(left, points, len(classes))
    left.set_ylabel(points.axes[1], fontsize=9)
    draw_losses(right, history)
    right.set_title("GEMINI's loss (Eq. 5)", fontsize=11)
    legend_of_classes(figure, left, classes)
    figure.suptitle("the teacher: where each training image should go", fontsize=13)
    return figure
