from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from guided_dml.inference.calibration import calibration_of, check_alpha, p_values


def test_p_values_are_the_shares_that_are_as_far() -> None:
    known = sorted(np.random.default_rng(0).random(99).astype(np.float32).tolist())
    distances = np.array([0.0, known[0], known[50], known[-1], 2.0], np.float32)
    expected = [(1 + sum(k >= d for k in known)) / 100 for d in distances]
    np.testing.assert_allclose(p_values(distances, known), expected)
    assert p_values(distances, known)[-1] == pytest.approx(0.01)


def test_images_like_those_of_calibration_are_refused_at_the_rate_alpha() -> None:
    rng = np.random.default_rng(0)
    known = np.sort(rng.random(999).astype(np.float32)).tolist()
    p = p_values(rng.random(20_000).astype(np.float32), known)
    for alpha in (0.01, 0.05, 0.2):
        assert (p <= alpha).mean() == pytest.approx(alpha, rel=0.25)


def test_too_few_validation_images_to_take_anything_for_unknown_are_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    check_alpha(19, 0.05)
    check_alpha(3, 0.0)
    assert not caplog.messages
    check_alpha(18, 0.05)
    assert "18 validation images: no image" in caplog.text
    assert "from 19 on" in caplog.text
    assert p_values(np.array([9.0], np.float32), 18 * [1.0]) > 0.05
    assert p_values(np.array([9.0], np.float32), 19 * [1.0]) <= 0.05


def test_rates_of_pairs_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(2)
    labels, queries_of = rng.integers(0, 4, 200), rng.integers(0, 4, 60)
    centres = rng.normal(size=(4, 2)) * 2
    references, queries = (
        (centres[some] + rng.normal(size=(len(some), 2))).astype(np.float32)
        for some in (labels, queries_of)
    )
    found = calibration_of(references, labels, queries, queries_of)
    pairs = np.linalg.norm(queries[:, None].astype(float) - references, axis=2)
    same = queries_of[:, None] == labels
    false, true, _ = roc_curve(same.ravel(), -pairs.ravel(), drop_intermediate=False)
    crossing = np.abs(false - (1 - true)).argmin()
    rates = found["verification"]
    assert rates["eer"] == pytest.approx((false[crossing] + 1 - true[crossing]) / 2, abs=1e-3)
    for rate in (0.1, 0.01):
        best = 1 - true[false <= rate].max()
        assert rates["fnmr"][str(rate)]["fnmr"] == pytest.approx(best, abs=1e-6)
        accepted = pairs[~same] <= rates["fnmr"][str(rate)]["distance"]
        assert accepted.mean() <= rate
    assert rates["fnmr"]["0.001"] is None  # (fewer than 10,000 pairs of two classes)
    assert rates["pairs_of_two_classes"] == (~same).sum()


def test_coverage_answers_the_nearest_first() -> None:
    references = np.arange(10, dtype=np.float32)[:, None].repeat(2, 1)
    labels = np.repeat([0, 1], 5)
    queries = np.array([[1, 1], [8, 8], [2.4, 2.4], [30, 30]], np.float32)
    table = calibration_of(references, labels, queries, np.array([0, 1, 0, 0]))
    whole, half = table["coverage"][0], table["coverage"][-1]
    assert (whole["coverage"], whole["accuracy"]) == (1.0, 0.75)
    assert (half["coverage"], half["accuracy"], half["distance"]) == (0.5, 1.0, 0.0)
    assert table["distances"] == sorted(table["distances"])
