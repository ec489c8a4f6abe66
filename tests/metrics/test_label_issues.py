from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from guided_dml.metrics.label_issues import assign_folds, votes


def test_votes_are_those_of_a_slow_version() -> None:
    rng = np.random.default_rng(0)
    neighbours, given = rng.integers(0, 4, (300, 5)), rng.integers(0, 4, 300)
    found = votes(neighbours, given)
    for row, label, score, suggested, share in zip(neighbours.tolist(), given, *found, strict=True):
        counts = Counter(row)
        most = max(counts.values())
        tied = [one for one in row if counts[one] == most]  # (from the nearest on)
        assert score == pytest.approx(counts[label] / 5)
        assert share == pytest.approx(most / 5)
        assert suggested == (label if label in tied else tied[0])


def test_an_issue_needs_a_majority_for_another_label() -> None:
    given = np.array([0, 0, 0, 0])
    neighbours = np.array([[1] * 7 + [0] * 3, [1] * 6 + [0] * 4, [0] * 10, [1] * 5 + [2] * 5])
    found = votes(neighbours, given)
    assert found.issues(given, 0.7).tolist() == [True, False, False, False]
    assert found.issues(given, 0.5).tolist() == [True, True, False, True]


def test_folds_are_even_in_each_class_and_drawn_by_the_seed() -> None:
    labels = np.repeat([0, 1, 2], [7, 13, 5])
    folds = assign_folds(labels, 5, seed=0)
    sizes = [np.bincount(folds[labels == label], minlength=5) for label in range(3)]
    assert all(np.ptp(size) <= 1 for size in [*sizes, np.bincount(folds)])
    assert folds.tolist() == assign_folds(labels, 5, seed=0).tolist()
    assert folds.tolist() != assign_folds(labels, 5, seed=1).tolist()
