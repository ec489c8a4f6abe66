"""The one table behind all others: a row for each data set, protocol, method and score."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from itertools import chain

import pandas as pd

from guided_dml.comparison.names import OURS
from guided_dml.comparison.paper import Published, paper_figures
from guided_dml.comparison.records import Comparison
from guided_dml.metrics.names import SCORES
from guided_dml.metrics.statistics import PairedTest, holm, mean_of, paired_test

Row = dict[str, str | int | float]

COLUMNS = [
    *("data_set", "protocol", "method", "score", "n", "mean", "half_width"),
    *("paper", "difference_to_paper"),
    *("guided_minus", "guided_minus_half_width", "p", "p_holm", "effect_size"),
]


def long_table(comparisons: Iterable[Comparison]) -> pd.DataFrame:
    """Return every mean with its interval, the paper's figure and the paired test.

    Scores and differences are in [0, 1] and [-1, 1]. ``n`` counts the method's runs; the paired
    test is over the seeds that guided ran with as well, ``guided_minus`` the mean of guided
    minus the method. What there is not is NaN.
    """
    published = paper_figures()
    rows = [_rows(one, score, published) for one in comparisons for score in SCORES]
    return pd.DataFrame(chain.from_iterable(rows), columns=COLUMNS)


def _rows(
    comparison: Comparison, score: str, published: Mapping[tuple[str, str, str], Published]
) -> list[Row]:
    about, ours = comparison.about, comparison.scores(OURS, score)
    tests = {
        method: _paired(ours, comparison.scores(method, score))
        for method in comparison.runs
        if method != OURS
    }
    corrected = dict(zip(tests, holm([test.p for test in tests.values()]), strict=True))
    rows = []
    for method in comparison.runs:
        mean = mean_of(list(comparison.scores(method, score).values()))
        row: Row = {"data_set": about.data_set, "protocol": about.protocol}
        row |= {"method": method, "score": score, **asdict(mean)}
        paper = published.get((about.data_set, method, score))
        if paper:
            row["paper"] = paper.mean
            row["difference_to_paper"] = math.nan if paper.doubt else mean.mean - paper.mean
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


def _paired(ours: Mapping[int, float], theirs: Mapping[int, float]) -> PairedTest:
    seeds = sorted(ours.keys() & theirs.keys())
    return paired_test([ours[seed] for seed in seeds], [theirs[seed] for seed in seeds])
