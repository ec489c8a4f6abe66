"""From the runs of a comparison to what the figures draw: plain arrays."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from kedro.io import DatasetError
from numpy.typing import NDArray

from guided_dml.comparison.board import Comparison
from guided_dml.comparison.names import in_order, method_name
from guided_dml.comparison.records import Partitions, RunRecord, warn
from guided_dml.figures.page import Choice, Group, PointImages
from guided_dml.figures.plane import to_plane
from guided_dml.figures.side_by_side import MapRow, Methods
from guided_dml.methods import METHODS
from guided_dml.metrics.names import SHOWN
from guided_dml.metrics.protocol import as_text
from guided_dml.metrics.statistics import means_of

logger = logging.getLogger(__name__)

Arrays = dict[str, NDArray[Any]]


def panels(comparisons: Sequence[Comparison]) -> list[Methods]:
    """Return for each comparison the scores of its methods, and what a run costs."""
    known = all_methods(comparisons)
    found = []
    for comparison in comparisons:
        methods = list(comparison.runs)
        means, half_widths = means_of(
            [[[*comparison.scores(one, score).values()] for score in SHOWN] for one in methods]
        )
        panel = Methods(
            title=comparison.name,
            names=[method_name(method) for method in methods],
            colours=[known.index(method) for method in methods],
            scores=list(SHOWN.values()),
            means=means,
            half_widths=half_widths,
            seconds=np.array([comparison.seconds(method) for method in methods]),
        )
        found.append(panel)
    return found


def all_methods(comparisons: Iterable[Comparison]) -> list[str]:
    """Return the known methods, and those of the comparisons that are not among them."""
    others = {method for comparison in comparisons for method in comparison.runs}
    return in_order(others | set(METHODS), METHODS)


def lowest_seeds(
    comparison: Comparison, embeddings: Partitions
) -> dict[str, tuple[RunRecord, Arrays]]:
    """Return for each method its lowest seed that has embeddings of the queries, and these.

    They are ``embeddings`` float32 ``[Q, D]`` and ``labels`` int64 ``[Q]``.
    """
    found = {}
    for method, runs in comparison.runs.items():
        for run in runs:
            arrays = _load(embeddings, run.id, ("embeddings", "labels"))
            if arrays and _labels_fit(arrays, run.id, len(comparison.about.classes)):
                found[method] = run, arrays
                break
    return found


def map_rows(
    comparisons: Sequence[Comparison], embeddings: Partitions, most: int
) -> tuple[list[MapRow], list[str]]:
    """Return the grid of embeddings, ``most`` points a map, and the methods of its columns."""
    columns = in_order({method for one in comparisons for method in one.runs}, METHODS)
    rows = []
    for comparison in comparisons:
        about, maps = comparison.about, lowest_seeds(comparison, embeddings)
        drawn = {name: to_plane({name: arrays}, most)[0] for name, (_, arrays) in maps.items()}
        dimensions = {arrays["embeddings"].shape[1] for _, arrays in maps.values()}
        title = comparison.name
        if max(dimensions, default=2) > 2:
            title += f"\nprincipal components of {max(dimensions)} dimensions"
        found = [
            drawn.get(one, "not stored" if one in comparison.runs else "not run") for one in columns
        ]
        rows.append(MapRow(title, about.classes, found))
    return rows, columns


def atlas_groups(
    comparisons: Sequence[Comparison], embeddings: Partitions, images: Partitions
) -> tuple[list[Group], dict[str, PointImages]]:
    """Return what can be chosen in the atlas, and the images of each data set.

    All queries are shown; those whose images are stored have them and their names.
    """
    groups: list[Group] = []
    pictures: dict[str, PointImages] = {}
    for comparison in comparisons:
        about, sets = comparison.about, []
        for method, (run, arrays) in lowest_seeds(comparison, embeddings).items():
            place = f"{about.data_set}/{about.data_version}/{about.parameters.evaluation.split}"
            stored = _load(images, place, ("images", "rows", "labels", "names"))
            if stored and not _are_images_of(stored, arrays):
                logger.warning("the images %s are not those of %s", place, run.id)
                stored = None
            name = f"{method_name(method)}, seed {run.seed}"
            names = [str(row) for row in range(len(arrays["labels"]))]
            if stored:
                pictures[place] = PointImages(stored["images"], stored["rows"])
                for row, known in zip(stored["rows"], as_text(stored["names"]), strict=True):
                    names[row] = known
            (points,) = to_plane({name: {**arrays, "names": names}})
            sets.append(Choice(points, place if stored else None, method))
        if sets:
            groups.append(Group(comparison.name, about.classes, sets))
    return groups, pictures


def _load(partitions: Partitions, place: str, names: Sequence[str]) -> Arrays | None:
    if place not in partitions:
        return None
    try:
        tensors = partitions[place]()
        arrays: Arrays = {name: tensors[name].numpy() for name in names}
    except (DatasetError, KeyError) as error:
        reason = error.__cause__ or error
        remedy = "the same comparison with --refresh makes them anew"
        warn("tensors", place, f"cannot be read: {reason}; {remedy}")
        return None
    if len({len(array) for array in arrays.values()}) > 1 or not arrays[names[0]].size:
        warn("tensors", place, "their lengths do not fit")
        return None
    return arrays


def _labels_fit(arrays: Arrays, place: str, classes: int) -> bool:
    fit = int(arrays["labels"].min()) >= 0 and int(arrays["labels"].max()) < classes
    if not fit:
        warn("tensors", place, f"there are only {classes} classes")
    return fit


def _are_images_of(stored: Arrays, queries: Arrays) -> bool:
    rows, labels = stored["rows"], queries["labels"]
    within = int(rows.min()) >= 0 and int(rows.max()) < len(labels)
    return within and bool((labels[rows] == stored["labels"]).all())
