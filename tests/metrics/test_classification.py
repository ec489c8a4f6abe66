from __future__ import annotations

import pytest
import torch

from guided_dml.metrics.classification import classification_scores
from guided_dml.training.policy import Policy


def test_scores_are_those_of_a_loop(policy: Policy) -> None:
    source = torch.Generator().manual_seed(0)
    labels, predicted = (torch.randint(0, 5, (200,), generator=source) for _ in range(2))
    pairs = list(zip(labels.tolist(), predicted.tolist(), strict=True))
    f1 = []
    for c in range(5):
        hits = sum(a == b == c for a, b in pairs)
        precision = hits / sum(b == c for _, b in pairs)
        recall = hits / sum(a == c for a, _ in pairs)
        f1.append(2 * precision * recall / (precision + recall))
    scores = classification_scores(labels.to(policy.device), predicted.to(policy.device))
    assert scores["f1"] == pytest.approx(sum(f1) / 5, abs=1e-12)
    assert scores["accuracy"] == pytest.approx(sum(a == b for a, b in pairs) / 200, abs=1e-12)


def test_a_class_without_queries_does_not_count() -> None:
    scores = classification_scores(torch.tensor([0, 0, 1]), torch.tensor([0, 2, 1]))
    assert scores["f1"] == pytest.approx((2 / 3 + 1) / 2)
