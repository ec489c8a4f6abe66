"""From what was measured of robustness to what the figures draw: plain arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from guided_dml.comparison.board import Comparison
from guided_dml.comparison.measurements import PIXELS
from guided_dml.comparison.names import method_name
from guided_dml.figures.lines import Lines
from guided_dml.figures.side_by_side import NO_METHOD
from guided_dml.metrics.statistics import means_of
from guided_dml.pipelines.reporting.drawing import all_methods
from guided_dml.pipelines.reporting.measured_sets import MeasuredSet, measured_sets
from guided_dml.pipelines.reporting.module_tables import shots_of
from guided_dml.pipelines.reporting.parts import RAW_PIXELS, spanned
from guided_dml.robustness.names import FAMILIES, SEVERITIES

Array = NDArray[np.float64]

#: For each panel, by its name, the scores along a line.
Panels = dict[str, list[str]]

CLEAN = "clean_recall_at_1"


def severity_lines(comparisons: Sequence[Comparison]) -> list[Lines]:
    """Return Recall@1 from the clean images to the most severe corruption, by families."""

    def panels(measured: MeasuredSet) -> Panels:
        stored = set(measured.scores("corruptions"))
        names = {family: f"recall_at_1.{family}" for family in FAMILIES}
        return {
            FAMILIES[family]: [CLEAN, *(f"{name}.{severity}" for severity in SEVERITIES)]
            for family, name in names.items()
            if f"{name}.{SEVERITIES[0]}" in stored
        }

    return _lines(comparisons, "corruptions", panels, lambda _: [0, *SEVERITIES])


def shift_lines(comparisons: Sequence[Comparison]) -> list[Lines]:
    """Return Recall@1 of clean and of corrupted images."""
    scores = [CLEAN, "corrupted_recall_at_1"]

    def panels(measured: MeasuredSet) -> Panels:  # (families that all stand apart have no mean)
        return {"": scores} if scores[1] in measured.scores("corruptions") else {}

    return _lines(comparisons, "corruptions", panels, lambda _: [0, 1])


def few_shot_lines(comparisons: Sequence[Comparison]) -> list[Lines]:
    """Return the accuracy by the images that are shown of each unseen class."""

    def panels(measured: MeasuredSet) -> Panels:
        names = [f"accuracy_{shots}_shot" for shots in shots_of(measured)]
        return {"": names} if names else {}

    def title(measured: MeasuredSet) -> str:
        trained = {len(one.about.parameters.data.classes or []) for one in measured.splits}
        few = f"trained on {spanned(trained)} classes"
        if len(measured.splits) > 1:
            few += f", the mean of {len(measured.splits)} choices"
        return f"{measured.name}: {few}"

    return _lines(comparisons, "unseen", panels, shots_of, title)


def _lines(
    comparisons: Sequence[Comparison],
    module: str,
    panels_of: Callable[[MeasuredSet], Panels],
    x_of: Callable[[MeasuredSet], Iterable[float]],
    title_of: Callable[[MeasuredSet], str] = lambda measured: measured.name,
) -> list[Lines]:
    """Return the lines of each data set of which a module was measured."""
    known, found = all_methods(comparisons), []
    for measured in measured_sets(comparisons):
        panels = panels_of(measured)
        if not panels or not measured.scores(module):
            continue
        rows = {of: _row(measured, module, of, panels) for of in [*measured.methods, PIXELS]}
        rows = {of: row for of, row in rows.items() if np.isfinite(row[0]).any()}
        if not rows:  # (one of several choices of classes is not measured yet)
            continue
        lines = Lines(
            title=title_of(measured),
            names=[RAW_PIXELS if of == PIXELS else method_name(of) for of in rows],
            colours=[NO_METHOD if of == PIXELS else known.index(of) for of in rows],
            x=np.array([*x_of(measured)], np.float64),
            means=np.array([means for means, _ in rows.values()]),
            half_widths=np.array([half_widths for _, half_widths in rows.values()]),
            panels=list(panels),
        )
        found.append(lines)
    return found


def _row(measured: MeasuredSet, module: str, of: str, panels: Panels) -> tuple[Array, Array]:
    """Return means and half widths of a method or of raw pixels, float64 ``[panels, X]`` each."""

    def runs(score: str) -> list[float]:
        if of == PIXELS:
            return [measured.pixels(module, score)]
        return [*measured.values(module, score)[of].values()]

    return means_of([[runs(score) for score in scores] for scores in panels.values()])
