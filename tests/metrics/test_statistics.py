from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from guided_dml.metrics.statistics import Mean, holm, mean_of, paired_test


def test_mean_has_the_interval_of_scipy() -> None:
    values = np.random.default_rng(0).normal(0.9, 0.05, 7)
    found = mean_of(values)
    low, high = stats.t.interval(0.95, 6, loc=values.mean(), scale=stats.sem(values))
    assert found.n == 7
    assert found.mean == pytest.approx(values.mean())
    assert found.mean - found.half_width == pytest.approx(low)
    assert found.mean + found.half_width == pytest.approx(high)


def test_few_or_equal_runs_have_a_mean_and_no_more() -> None:
    one, none = mean_of([0.5]), mean_of([])
    assert (one.n, one.mean) == (1, 0.5)
    assert math.isnan(one.half_width)
    assert none.n == 0
    assert math.isnan(none.mean)
    assert math.isnan(none.half_width)
    assert mean_of([0.5, 0.5, 0.5]) == Mean(3, 0.5, 0.0)


@pytest.mark.parametrize("count", [2, 5, 10])
def test_paired_test_agrees_with_scipy(count: int) -> None:
    rng = np.random.default_rng(count)
    ours, theirs = rng.normal(0.9, 0.01, count), rng.normal(0.89, 0.02, count)
    found, expected = paired_test(ours, theirs), stats.ttest_rel(ours, theirs)
    assert found.p == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval(0.95)
    assert found.difference.mean - found.difference.half_width == pytest.approx(low)
    assert found.difference.mean + found.difference.half_width == pytest.approx(high)
    differences = ours - theirs
    assert found.effect_size == pytest.approx(differences.mean() / differences.std(ddof=1))


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_pairs_cannot_be_tested(count: int) -> None:
    found = paired_test([0.9] * count, [0.5] * count)
    assert found.difference.n == count
    assert math.isnan(found.p)
    assert math.isnan(found.effect_size)


def test_differences_without_spread_have_the_limits() -> None:
    same = paired_test([0.1, 0.3], [0.1, 0.3])
    assert (same.difference, same.p, same.effect_size) == (Mean(2, 0.0, 0.0), 1.0, 0.0)
    # 0.5 - 0.4 and 0.6 - 0.5 differ in their last bits only.
    for ours, theirs, sign in (([0.5, 0.6], [0.4, 0.5], 1), ([0.4, 0.5], [0.5, 0.6], -1)):
        found = paired_test(ours, theirs)
        assert found.difference.mean == pytest.approx(sign * 0.1)
        assert (found.difference.half_width, found.p) == (0.0, 0.0)
        assert found.effect_size == sign * math.inf


def test_zeros_throughout_do_not_differ() -> None:
    assert paired_test([0, 0, 0], [0, 0, 0]).p == 1


def test_holm_by_hand() -> None:
    # Sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1: 0.04, 0.06, 0.06, 0.04 -> never falling.
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_counts_only_tests_that_were_made() -> None:
    first, second, third = holm([math.nan, 0.02, 0.03])
    assert math.isnan(first)
    assert (second, third) == (0.04, 0.04)
