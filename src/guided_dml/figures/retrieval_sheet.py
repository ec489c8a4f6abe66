"""A sheet of queries with their nearest training images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from guided_dml.figures.plane import image_title
from guided_dml.figures.style import STYLE, set_title, short, title_of

RIGHT, WRONG = "#2e8b57", "#d62728"

#: In inches: from image to image, from line to line, and the longer side of an image.
CELL, LINE, BOX = 1.05, 1.24, 0.88


class Pictures(NamedTuple):
    """A set of images, uint8 ``[N, C, H, W]``, with the labels and names that are shown."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    names: Sequence[str]


@rc_context(STYLE)
def retrieval_figure(
    query: Pictures,
    reference: Pictures,
    classes: Sequence[str],
    neighbours: NDArray[np.int64],
    rows: NDArray[np.int64],
    heading: str,
) -> Figure:
    """Draw a row a query: the query, then its nearest references, wrong ones framed in red.

    The class of an image stands above it, its name below. Shown are the queries ``rows``, int64
    ``[n]``, with the references ``neighbours``, int64 ``[n, k]``, nearest first.
    """
    width = CELL * (neighbours.shape[1] + 1) + 0.3
    top = 0.45 + 0.2 * len(title_of(heading, width).splitlines())
    height = LINE * len(rows) + top
    figure = Figure(figsize=(width, height))
    # One panel, in inches: a hundred panels take ten times as long.
    panel = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    panel.set_axis_off()
    across = 0.15 + CELL * (0.5 + np.arange(neighbours.shape[1] + 1))
    down = top + BOX / 2 + LINE * np.arange(len(rows))
    for y, row, nearest in zip(down, rows.tolist(), neighbours.tolist(), strict=True):
        truth = query.labels[row]
        _show(panel, (across[0], y), query, row, f"query: {short(classes[truth], 9)}", "black")
        for x, index in zip(across[1:], nearest, strict=True):
            label = reference.labels[index]
            colour = RIGHT if label == truth else WRONG
            _show(panel, (x, y), reference, index, short(classes[label], 14), colour)
    set_title(figure, heading, y=1 - 0.15 / height)
    return figure


def _show(
    panel: Axes,
    centre: tuple[float, float],
    pictures: Pictures,
    index: int,
    caption: str,
    colour: str,
) -> None:
    image = pictures.images[index].transpose(1, 2, 0)
    half_high, half_wide = (side * BOX / max(image.shape[:2]) / 2 for side in image.shape[:2])
    x, y = centre
    left, right, bottom, top = x - half_wide, x + half_wide, y + half_high, y - half_high
    drawn = AxesImage(panel, cmap="gray", origin="upper", extent=(left, right, bottom, top))
    drawn.set_data(image)
    drawn.set_clim(0, 255)
    panel.add_image(drawn)
    frame = Rectangle((left, top), 2 * half_wide, 2 * half_high, fill=False, edgecolor=colour)
    frame.set_linewidth(2.5 if colour == WRONG else 1)
    panel.add_patch(frame)
    panel.text(x, top - 0.04, caption, fontsize=7, color=colour, ha="center", va="bottom")
    name = short(image_title(pictures.names[index]), 16)
    panel.text(x, bottom + 0.04, name, fontsize=6, color="#555", ha="center", va="top")


def queries_to_show(
    labels: NDArray[np.int64], right: NDArray[np.bool_], most: int = 8, mistakes: int = 4
) -> NDArray[np.int64]:
    """Choose queries: the first of each of ``most`` classes, then the first ``mistakes``.

    Args:
        labels: int64 ``[Q]``, the classes of the queries.
        right: bool ``[Q]``, whether the nearest reference is of the query's class.
        most: Classes.
        mistakes: Queries whose nearest reference is of another class.
    """
    _, first = np.unique(labels, return_index=True)
    wrong = np.setdiff1d(np.flatnonzero(~right), first[:most])
    return np.concatenate([first[:most], wrong[:mistakes]])
