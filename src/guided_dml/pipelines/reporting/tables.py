"""The one table behind all others: a row for each data set, protocol, method and score."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import pandas as pd

from guided_dml.metrics.names import SCORES
from guided_dml.metrics.statistics import PairedTest, holm, mean_of, paired_test
from guided_dml.pipelines.reporting.names import OURS
from guided_dml.pipelines.reporting.paper import Published, paper_figures
from guided_dml.pipelines.reporting.records import Comparison, Run

Row = dict[str, str | int | float]

COLUMNS = (
    "data_set",
    "protocol",
    "method",
    "score",
    "n",
    "mean",
    "half_width",
    "paper",
    "difference_to_paper",
    "guided_minus",
    "guided_minus_half_width",
    "p",
    "p_holm",
    "effect_size",
)


def long_table(comparisons: Iterable[Comparison]) -> pd.DataFrame:
    """Return every mean with its interval, the paper's figure and the paired test.

    Scores and differences are in [0, 1] and [-1, 1]. ``n`` counts the method's runs; the paired
    test is over the seeds that guided ran with as well, ``guided_minus`` the mean of guided
    minus the method. What there is not is NaN.
    """
    published = paper_figures()
    rows = [
        row
        for comparison in comparisons
        for score in SCORES
        for row in _rows(comparison, score, published)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def shared_seeds(comparison: Comparison, method: str) -> list[int]:
    """Return the seeds that both guided and ``method`` ran with."""
    ours, theirs = ({run.seed for run in comparison.runs.get(name, [])} for name in (OURS, method))
    return sorted(ours & theirs)


def _rows(
    comparison: Comparison, score: str, published: Mapping[tuple[str, str, str], Published]
) -> list[Row]:
    about = comparison.about
    others = [method for method in comparison.runs if method != OURS]
    tests = {method: _test(comparison, method, score) for method in others}
    corrected = dict(zip(others, holm([test.p for test in tests.values()]), strict=True))
    rows = []
    for method, runs in comparison.runs.items():
        mean = mean_of([run.scores[score] for run in runs])
        paper = published.get((about.data_set, method, score))
        row: Row = {
            "data_set": about.data_set,
            "protocol": about.protocol,
            "method": method,
            "score": score,
            "n": mean.n,
            "mean": mean.mean,
            "half_width": mean.half_width,
            "paper": paper.mean if paper else math.nan,
            "difference_to_paper": mean.mean - paper.mean
            if paper and not paper.doubt
            else math.nan,
        }
        if method in tests:
            test = tests[method]
            row |= {
                "guided_minus": test.difference.mean,
                "guided_minus_half_width": test.difference.half_width,
                "p": test.p,
                "p_holm": corrected[method],
                "effect_size": test.effect_size,
            }
        rows.append(row)
    return rows


def _test(comparison: Comparison, method: str, score: str) -> PairedTest:
    seeds = shared_seeds(comparison, method)
    ours, theirs = (
        _of_seeds(comparison.runs.get(name, []), seeds, score) for name in (OURS, method)
    )
    return paired_test(ours, theirs)


def _of_seeds(runs: Iterable[Run], seeds: list[int], score: str) -> list[float]:
    scores = {run.seed: run.scores[score] for run in runs}
    return [scores[seed] for seed in seeds]
