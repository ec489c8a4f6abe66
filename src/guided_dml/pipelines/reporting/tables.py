"""The one table behind all others: a row for each data set, protocol, method and score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from guided_dml.comparison.board import Comparison
from guided_dml.comparison.paper import Published, paper_figures
from guided_dml.comparison.records import About
from guided_dml.metrics.names import SCORES
from guided_dml.metrics.statistics import mean_of
from guided_dml.pipelines.reporting.measured_sets import MeasuredSet, Values, measured_sets
from guided_dml.robustness.names import OUTCOMES
from guided_dml.robustness.verdicts import leads
from guided_dml.types import Table

Row = dict[str, Any]

COLUMNS = [
    *("data_set", "variant", "protocol", "comparison", "method", "score"),
    *("n", "mean", "half_width"),
    *("paper", "difference_to_paper"),
    *("guided_minus", "guided_minus_half_width", "p", "p_holm", "effect_size"),
]


def long_table(comparisons: Sequence[Comparison]) -> Table:
    """Return every mean with its interval, the paper's figure and the paired test.

    Scores and differences are in [0, 1] and [-1, 1]. ``n`` counts the method's runs; the paired
    test is over the seeds that guided ran with as well, ``guided_minus`` the mean of guided
    minus the method. What there is not is NaN. The outcomes of robustness that were declared in
    advance are there as ``<module>.<score>``, where any method has them. ``comparison`` is what
    the report calls it, with the parameters in which those of one data set differ.
    """
    import pandas as pd

    of = [(one.name, score_rows(one)) for one in comparisons]
    of += [(one.name, outcome_rows(one)) for one in measured_sets(comparisons)]
    rows = [{"comparison": name} | row for name, its_rows in of for row in its_rows]
    return pd.DataFrame(rows, columns=COLUMNS)


def score_rows(comparison: Comparison) -> list[Row]:
    """Return the rows of a comparison's scores."""
    about, runs = comparison.about, comparison.runs
    published = {} if about.variant else paper_figures()
    values = {score: {m: comparison.scores(m, score) for m in runs} for score in SCORES}
    return [row for score in values for row in _rows(about, score, values[score], published)]


def outcome_rows(measured: MeasuredSet) -> list[Row]:
    """Return the rows of the declared outcomes that any method has."""
    values = {one.name: measured.values(one.module, one.score) for one in OUTCOMES}
    known = [name for name, of_methods in values.items() if any(of_methods.values())]
    return [row for name in known for row in _rows(measured.about, name, values[name], {})]


def _rows(
    about: About, score: str, values: Values, published: Mapping[tuple[str, str, str], Published]
) -> list[Row]:
    tests = leads(values)
    place = {"data_set": about.data_set, "variant": about.variant, "protocol": about.protocol}
    rows = []
    for method, by_seed in values.items():
        mean = mean_of(list(by_seed.values()))
        row: Row = {**place, "method": method, "score": score, **asdict(mean)}
        paper = published.get((about.data_set, method, score))
        if paper:
            row["paper"] = paper.mean
            row["difference_to_paper"] = math.nan if paper.doubt else mean.mean - paper.mean
        if method in tests:
            test, p_holm = tests[method]
            row |= {
                "guided_minus": test.difference.mean,
                "guided_minus_half_width": test.difference.half_width,
                "p": test.p,
                "p_holm": p_holm,
                "effect_size": test.effect_size,
            }
        rows.append(row)
    return rows
