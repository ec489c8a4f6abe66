from __future__ import annotations

import math
from collections import Counter

import pytest
import torch

from guided_dml.metrics.clustering import nmi
from guided_dml.training.policy import Policy


def entropy(counts: list[int]) -> float:
    total = sum(counts)
    return -math.fsum(c / total * math.log(c / total) for c in counts)


def slow_nmi(labels: list[int], clusters: list[int]) -> float:
    both, of_label, of_cluster = (
        Counter(zip(labels, clusters, strict=True)),
        Counter(labels),
        Counter(clusters),
    )
    n = len(labels)
    information = math.fsum(
        c / n * math.log(c * n / (of_label[a] * of_cluster[b])) for (a, b), c in both.items()
    )
    halves = entropy(list(of_label.values())) + entropy(list(of_cluster.values()))
    return information / (halves / 2)


def test_separated_classes_score_one() -> None:
    labels = torch.arange(40) % 4
    points = torch.stack([10.0 * labels, torch.linspace(0, 1, 40)], dim=1)
    assert nmi(points, labels, seed=0) == pytest.approx(1)


def test_perfect_clusters_score_no_more_than_one() -> None:
    # (scikit-learn has 1.0000000000000002 of some of these)
    for sizes in ([1, 3, 4], [3, 7, 4], [3, 2, 7], [5, 8, 1], [6, 3, 1]):
        labels = torch.arange(3).repeat_interleave(torch.tensor(sizes))
        found = nmi(20.0 * torch.eye(3)[labels], labels, seed=0)
        assert 1 - 1e-12 < found <= 1


def test_known_clusters_score_as_by_hand(policy: Policy) -> None:
    # Three tight groups that k-means cannot miss, whose classes are mixed on purpose.
    groups = [0] * 10 + [1] * 12 + [2] * 9
    labels = [0] * 8 + [1] * 2 + [1] * 12 + [2] * 5 + [0] * 4
    points = 100.0 * torch.tensor(groups)[:, None] + torch.linspace(0, 1, 31)[:, None]
    found = nmi(points.to(policy.device), torch.tensor(labels, device=policy.device), seed=0)
    assert found == pytest.approx(slow_nmi(labels, groups), abs=1e-12)


def test_collapsed_embeddings_score_zero_without_a_warning() -> None:
    assert nmi(torch.zeros(12, 2), torch.arange(12) % 3, seed=0) == 0
