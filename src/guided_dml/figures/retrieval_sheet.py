"""A sheet of queries with their nearest training images."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from guided_dml.types import LabelledImages

RIGHT, WRONG = "#2e8b57", "#d62728"


def retrieval_figure(
    query: LabelledImages,
    reference: LabelledImages,
    neighbours: NDArray[np.int64],
    rows: NDArray[np.int64],
    heading: str,
) -> Figure:
    """Draw a row a query: the query, then its nearest references, wrong ones framed in red.

    Args:
        query: The query images.
        reference: The reference images.
        neighbours: int64 ``[n, k]``: for each query shown the indices of its nearest references.
        rows: int64 ``[n]``: the queries to show.
        heading: Title.
    """
    shown = neighbours.shape[1]
    figure = Figure(figsize=(0.95 * (shown + 1) + 0.6, 1.12 * len(rows) + 0.8))
    panels = figure.subplots(len(rows), shown + 1, squeeze=False)
    names = query.classes
    for line, row, nearest in zip(panels, rows, neighbours, strict=True):
        truth = int(query.labels[row])
        _show(line[0], query.images[row], f"query: {_short(names[truth])}", "black")
        for panel, index in zip(line[1:], nearest, strict=True):
            label = int(reference.labels[index])
            colour = RIGHT if label == truth else WRONG
            _show(panel, reference.images[index], _short(names[label]), colour)
    top = 1 - 0.5 / figure.get_figheight()
    figure.subplots_adjust(0.02, 0.02, 0.98, top - 0.15 / figure.get_figheight(), 0.15, 0.45)
    figure.suptitle(heading, fontsize=11, y=1 - 0.12 / figure.get_figheight(), va="top")
    return figure


def _show(panel: Axes, image: NDArray[np.uint8], caption: str, colour: str) -> None:
    grey = len(image) == 1
    panel.imshow(image[0] if grey else image.transpose(1, 2, 0), cmap="gray", vmin=0, vmax=255)
    panel.set_xticks([])
    panel.set_yticks([])
    panel.set_title(caption, fontsize=7, color=colour, pad=2)
    for spine in panel.spines.values():
        spine.set(color=colour, linewidth=2.5 if colour == WRONG else 1)


def _short(name: str) -> str:
    return name if len(name) <= 12 else name[:11] + "…"


def queries_to_show(
    labels: NDArray[np.int64], right: NDArray[np.bool_], most: int = 8, mistakes: int = 4
) -> NDArray[np.int64]:
    """Choose queries: the first of each of ``most`` classes, then the first ``mistakes``.

    Args:
        labels: int64 ``[Q]``, the classes of the queries.
        right: bool ``[Q]``, whether the nearest reference is of the query's class.
        most: Classes shown.
        mistakes: Queries shown whose nearest reference is wrong.
    """
    _, first = np.unique(labels, return_index=True)
    wrong = np.setdiff1d(np.flatnonzero(~right), first[:most])
    return np.concatenate([first[:most], wrong[:mistakes]])
