from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pytorch_ood.metrics import OODMetrics
from sklearn.metrics import average_precision_score, roc_auc_score

from guided_dml.robustness.detection import (
    detection,
    detection_scores,
    risk_of_coverage,
    threshold_of,
)

Array = NDArray[np.float64]


def slow_auroc(known: Array, strange: Array) -> float:
    return float(np.mean([(s > k) + (s == k) / 2 for s in strange for k in known]))


def slow_fpr95(known: Array, strange: Array) -> float:
    accepting = [t for t in known if np.mean(known <= t) >= 0.95]
    return float(np.mean(strange <= min(accepting)))


def slow_aupr(positive: Array, negative: Array) -> float:
    total = before = 0.0
    for level in sorted({*positive, *negative}):
        recall, false = np.mean(positive <= level), np.mean(negative <= level)
        if recall > before:
            total += (recall - before) * recall / (recall + false)
        before = recall
    return total


def draws(seed: int, sizes: tuple[int, int], decimals: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    known, strange = rng.normal(0, 1, sizes[0]), rng.normal(1, 1.5, sizes[1])
    return known.round(decimals), strange.round(decimals)


@pytest.mark.parametrize("decimals", [0, 1, 9])
@pytest.mark.parametrize("sizes", [(1, 1), (1, 7), (20, 3), (60, 60), (41, 133)])
def test_figures_are_those_of_a_loop(sizes: tuple[int, int], decimals: int) -> None:
    known, strange = draws(3, sizes, decimals)
    found = detection(known, strange)
    assert found == pytest.approx(
        {
            "auroc": slow_auroc(known, strange),
            "fpr95": slow_fpr95(known, strange),
            "aupr_in": slow_aupr(known, strange),
            "aupr_out": slow_aupr(-strange, -known),
        }
    )


@pytest.mark.parametrize("decimals", [1, 9])
def test_figures_are_those_of_scikit_learn(decimals: int) -> None:
    known, strange = draws(0, (300, 120), decimals)
    scores, is_ood = np.concatenate([known, strange]), np.repeat([0, 1], [300, 120])
    equal = np.repeat([1 / 300, 1 / 120], [300, 120])
    found = detection(known, strange)
    assert found["auroc"] == pytest.approx(roc_auc_score(is_ood, scores))
    out = average_precision_score(is_ood, scores, sample_weight=equal)
    inside = average_precision_score(1 - is_ood, -scores, sample_weight=equal)
    assert (found["aupr_in"], found["aupr_out"]) == pytest.approx((inside, out))


@pytest.mark.parametrize("decimals", [1, 9])
def test_figures_are_those_of_pytorch_ood(decimals: int) -> None:
    known, strange = draws(2, (300, 300), decimals)
    theirs = OODMetrics()
    scores = torch.from_numpy(np.concatenate([known, strange]))
    found = theirs.update(scores, torch.tensor([0] * 300 + [-1] * 300)).compute()
    ours = detection(known, strange)
    assert ours["auroc"] == pytest.approx(found["AUROC"])
    # (it joins the points of the curve by straight lines, which is too optimistic)
    assert ours["aupr_in"] == pytest.approx(found["AUPR-IN"], abs=0.01)
    assert ours["aupr_out"] == pytest.approx(found["AUPR-OUT"], abs=0.01)
    # (OOD is its positive class: the ID images that are refused with 95 % of the OOD images)
    assert detection(-strange, -known)["fpr95"] == pytest.approx(found["FPR95TPR"])


def test_equal_counts_leave_nothing_out_and_change_nothing_else() -> None:
    known, strange = draws(1, (50, 80), 2)
    assert detection(known, np.tile(strange, 3)) == pytest.approx(detection(known, strange))
    assert detection(np.tile(known, 4), strange) == pytest.approx(detection(known, strange))


def test_perfect_and_useless_scores() -> None:
    low, high = np.arange(40.0), np.arange(40.0, 60.0)
    best = {"auroc": 1.0, "fpr95": 0.0, "aupr_in": 1.0, "aupr_out": 1.0}
    assert detection(low, high) == best
    same = {"auroc": 0.5, "fpr95": 1.0, "aupr_in": 0.5, "aupr_out": 0.5}
    assert detection(np.zeros(9), np.zeros(4)) == same
    assert detection(high, low)["auroc"] == 0


def test_false_positives_are_accepted_ood_images() -> None:
    known = np.arange(1.0, 101.0)
    assert threshold_of(known) == 95
    assert detection(known, np.array([94.5, 95.0, 95.5, 200.0]))["fpr95"] == 0.5
    assert threshold_of(np.array([3.0])) == 3
    assert threshold_of(np.array([1.0, 1.0, 1.0, 2.0])) == 2


def test_every_score_has_its_figures() -> None:
    known, strange = draws(2, (30, 20), 3)
    found = detection_scores({"nn": known, "knn": -known}, {"nn": strange, "knn": -strange})
    assert found["auroc_nn"] == pytest.approx(1 - found["auroc_knn"])
    assert len(found) == 8


def test_risk_is_the_share_of_errors_among_those_answered() -> None:
    scores = np.array([0.4, 0.1, 0.3, 0.2])
    risk = risk_of_coverage(scores, np.array([True, False, True, False]))
    np.testing.assert_allclose(risk, [0, 0, 1 / 3, 1 / 2])


def test_risk_within_a_tie_is_that_of_a_random_order() -> None:
    rng = np.random.default_rng(0)
    scores, wrong = rng.integers(0, 4, 24).astype(float), rng.random(24) < 0.3
    orders = (np.lexsort((rng.random(24), scores)) for _ in range(4000))
    slow = np.mean([wrong[o].cumsum() / np.arange(1, 25) for o in orders], axis=0)
    np.testing.assert_allclose(risk_of_coverage(scores, wrong), slow, atol=0.02)
    np.testing.assert_allclose(risk_of_coverage(np.zeros(24), wrong), wrong.mean())
