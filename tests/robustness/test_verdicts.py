from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from guided_dml.robustness.verdicts import BASELINES, leads, verdict

Values = dict[str, dict[int, float]]


def runs(lead: float, seeds: int = 5, spread: float = 0.002, **others: float) -> Values:
    """Guided at 0.9, each baseline ``lead`` below or as far as told, with some noise."""
    rng = np.random.default_rng(0)
    below = {"guided": 0.0, **dict.fromkeys((*BASELINES, "softmax"), lead), **others}
    return {
        method: {seed: 0.9 - gap + spread * rng.normal() for seed in range(seeds)}
        for method, gap in below.items()
    }


def test_leads_are_paired_tests_with_holm_over_all_methods() -> None:
    values = runs(0.01, margin=0.002)
    found = leads(values)
    ours = np.array([*values["guided"].values()])
    p = {m: stats.ttest_rel(ours, [*v.values()]).pvalue for m, v in values.items() if m != "guided"}
    largest, corrected = 0.0, {}
    for rank, method in enumerate(sorted(p, key=p.__getitem__)):
        largest = max(largest, min(1.0, p[method] * (5 - rank)))
        corrected[method] = largest
    assert set(found) == {*BASELINES, "softmax"}
    for method, lead in found.items():
        assert lead.p_holm == pytest.approx(corrected[method])
        difference = np.mean(ours - np.array([*values[method].values()]))
        assert lead.test.difference.mean == pytest.approx(difference)


def test_ahead_of_all_in_all_outcomes_is_supported() -> None:
    found = verdict({"A": runs(0.05), "B": runs(0.03)})
    assert found.verdict == "supported"
    # The controls are no baselines of the paper: being behind one changes nothing.
    assert verdict({"A": runs(0.05, softmax=-0.1)}).verdict == "supported"


def test_one_outcome_or_one_baseline_is_enough_against_it() -> None:
    against = verdict({"A": runs(0.05), "B": runs(0.05, margin=-0.02)})
    assert against.verdict == "not supported"
    assert against.reason == "B: less than a point ahead of Margin"
    assert verdict({"A": runs(-0.05)}).verdict == "not supported"


def test_a_small_lead_that_is_sure_supports() -> None:
    assert verdict({"A": runs(0.006, spread=0.0005)}).verdict == "supported"
    assert verdict({"A": runs(0.006, spread=0.0005, triplet=0.0)}).verdict == "not supported"


def test_wide_intervals_cannot_tell() -> None:
    found = verdict({"A": runs(0.02, spread=0.05)})
    assert found.verdict == "cannot tell"
    assert found.reason.startswith("A: not surely ahead of ")


@pytest.mark.parametrize("seeds", [0, 1, 2, 4])
def test_below_five_seeds_nothing_is_told(seeds: int) -> None:
    found = verdict({"A": runs(0.05), "B": runs(0.05, seeds=seeds)})
    assert found.verdict == "cannot tell"
    words = "1 seed" if seeds == 1 else f"{seeds} seeds"
    assert found.reason == f"B: {words} in common with Siamese; 5 are needed"


def test_only_common_seeds_count() -> None:
    values = runs(0.05)
    values["triplet"] = {seed + 3: value for seed, value in values["triplet"].items()}
    assert verdict({"A": values}).reason == "A: 2 seeds in common with Triplet; 5 are needed"


def test_a_baseline_or_an_outcome_that_was_not_run_cannot_tell() -> None:
    values = runs(-0.05)
    del values["margin"]
    found = verdict({"A": runs(-0.05), "B": values})
    assert found == ("cannot tell", "B: not run for Margin")
    nothing = verdict({"A": runs(-0.05), "B": {}})
    assert nothing.reason == "B: not run"
    assert verdict({}).verdict == "cannot tell"
    without_ours = {method: v for method, v in runs(0.05).items() if method != "guided"}
    assert verdict({"A": without_ours}) == ("cannot tell", "A: not run for Guided")
    both = verdict({"A": {}, "B": without_ours}).reason
    assert both == "A: not run; B: not run for Guided"


def test_runs_without_spread_have_a_verdict() -> None:
    assert verdict({"A": runs(0.0, spread=0.0)}).verdict == "not supported"
    assert verdict({"A": runs(0.05, spread=0.0)}).verdict == "supported"


def test_values_that_are_not_finite_cannot_tell() -> None:
    values = runs(0.05)
    values["margin"][2] = math.nan
    assert verdict({"A": values}) == ("cannot tell", "A: values are not finite")
