"""A sheet of queries with their nearest training images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from guided_dml.figures.plane import image_title
from guided_dml.figures.style import STYLE, set_title, short

RIGHT, WRONG = "#2e8b57", "#d62728"


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
    shown = neighbours.shape[1]
    top = 0.45 + 0.2 * len(heading.splitlines())
    width, height = 1.05 * (shown + 1) + 0.3, 1.24 * len(rows) + top
    figure = Figure(figsize=(width, height))
    panels = figure.subplots(len(rows), shown + 1, squeeze=False)
    for line, row, nearest in zip(panels, rows.tolist(), neighbours.tolist(), strict=True):
        truth = query.labels[row]
        _show(line[0], query, row, f"query: {short(classes[truth], 9)}", "black")
        for panel, index in zip(line[1:], nearest, strict=True):
            label = reference.labels[index]
            colour = RIGHT if label == truth else WRONG
            _show(panel, reference, index, short(classes[label], 14), colour)
    figure.subplots_adjust(0.02, 0.25 / height, 0.98, 1 - top / height, 0.1, 0.38)
    set_title(figure, heading, y=1 - 0.15 / height)
    return figure


def _show(panel: Axes, pictures: Pictures, index: int, caption: str, colour: str) -> None:
    image = pictures.images[index]
    panel.imshow(image.transpose(1, 2, 0), cmap="gray", vmin=0, vmax=255)
    panel.set(xticks=[], yticks=[])
    panel.set_title(caption, fontsize=7, color=colour, pad=3)
    name = short(image_title(pictures.names[index]), 16)
    panel.set_xlabel(name, fontsize=6, color="#555", labelpad=2)
    for spine in panel.spines.values():
        spine.set(color=colour, linewidth=2.5 if colour == WRONG else 1)


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
