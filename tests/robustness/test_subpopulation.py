from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import recall_score
from torch import Tensor

from guided_dml.metrics.retrieval import retrieval_scores
from guided_dml.pipelines.ingestion.choosing import Choice
from guided_dml.pipelines.ingestion.choosing import long_tail as training_tail
from guided_dml.robustness.subpopulation import long_tail, subpopulation_scores

#: References of four classes; the largest are 1 and 3.
TAIL = [30, 100, 8, 60]


def clusters(count: int, seed: int, classes: int = 4) -> dict[str, Tensor]:
    source = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    angles = 2 * math.pi * labels / classes
    noise = 0.8 * torch.randn(count, 2, generator=source)
    return {"embeddings": torch.stack([angles.cos(), angles.sin()], 1) + noise, "labels": labels}


def predicted(reference: dict[str, Tensor], query: dict[str, Tensor]) -> Tensor:
    pairs = torch.cdist(query["embeddings"].double(), reference["embeddings"].double())
    return reference["labels"][pairs.argmin(1)]


def test_recalls_are_those_of_scikit_learn() -> None:
    reference, query = clusters(80, 0), clusters(61, 1)
    found = subpopulation_scores(reference, query, 0)
    each = recall_score(query["labels"], predicted(reference, query), average=None)
    assert [found[f"recall.{c}"] for c in range(4)] == pytest.approx(each)
    assert found["worst_class_recall"] == pytest.approx(min(each))
    macro = retrieval_scores(*query.values(), *reference.values())["recall_at_1"]
    assert found["recall_at_1"] == pytest.approx(macro)
    assert not any("long_tail" in key for key in found)  # (20 references a class)


def test_long_tailed_gallery_is_scored_by_thirds() -> None:
    reference, query = clusters(4 * 520, 0), clusters(61, 1)
    found = subpopulation_scores(reference, query, 3)
    tail = long_tail(reference["labels"].numpy(), 50, 3)
    assert tail is not None
    order, rows = tail
    gallery = {key: some[rows] for key, some in reference.items()}
    each = recall_score(query["labels"], predicted(gallery, query), average=None)
    assert found["recall_at_1.long_tail_50"] == pytest.approx(each.mean())
    assert found["worst_class_recall.long_tail_50"] == pytest.approx(each.min())
    head, middle, last = each[order[:2]].mean(), each[order[2]], each[order[3]]
    assert found["recall_head.long_tail_50"] == pytest.approx(head)
    assert found["recall_middle.long_tail_50"] == pytest.approx(middle)
    assert found["recall_tail.long_tail_50"] == pytest.approx(last)
    assert found["recall_tail.long_tail_50"] < found["recall_head.long_tail_50"]
    assert "recall_at_1.long_tail_10" in found
    assert "recall_at_1.long_tail_100" not in found  # (5 in the tail)


def test_long_tailed_references_are_scored_by_thirds() -> None:
    reference, query = clusters(4 * 100, 0), clusters(61, 1)
    rows = torch.cat([torch.where(reference["labels"] == c)[0][:n] for c, n in enumerate(TAIL)])
    found = subpopulation_scores({name: some[rows] for name, some in reference.items()}, query, 0)
    each = [found[f"recall.{label}"] for label in range(4)]
    assert found["recall_head"] == pytest.approx((each[1] + each[3]) / 2)
    assert found["recall_middle"] == pytest.approx(each[0])
    assert found["recall_tail"] == pytest.approx(each[2])
    assert "recall_head" not in subpopulation_scores(reference, query, 0)


def test_class_sizes_fall_exponentially() -> None:
    labels = np.repeat(np.arange(5), [1000, 2000, 1000, 1500, 1200])
    found = long_tail(labels, 100, 0)
    assert found is not None
    order, rows = found
    sizes = np.bincount(labels[rows])[order].tolist()
    assert sizes == [1000, 316, 100, 31, 10]
    assert sorted(order) == [0, 1, 2, 3, 4]
    milder = long_tail(labels, 10, 0)
    assert milder is not None
    assert milder[0] == order
    assert set(rows) <= set(milder[1])


def test_order_and_choice_come_from_the_seed() -> None:
    labels = np.arange(600) % 6
    first, again, other = (long_tail(labels, 10, seed) for seed in (0, 0, 1))
    assert first is not None
    assert again is not None
    assert other is not None
    assert first[0] == again[0] != other[0]
    np.testing.assert_array_equal(first[1], again[1])


def test_tail_of_a_gallery_is_another_than_that_of_the_training() -> None:
    labels = np.repeat(np.arange(10), 20)
    digits = Choice(labels, [*"0123456789"])
    for seed in range(5):
        found = long_tail(labels, 10, seed, smallest=2)
        assert found is not None
        trained = training_tail(digits, np.arange(len(labels)), None, 10, seed)
        assert [str(label) for label in found[0]] != [*trained]


def test_classes_too_small_for_a_tail_have_none() -> None:
    labels = np.arange(300) % 3
    assert long_tail(labels, 10, 0) is not None
    assert long_tail(labels, 11, 0) is None
    assert long_tail(np.zeros(1000, np.int64), 10, 0) is None


@pytest.mark.parametrize("classes", [1, 2])
def test_one_and_two_classes(classes: int) -> None:
    reference, query = clusters(400, 0, classes), clusters(10, 1, classes)
    found = subpopulation_scores(reference, query, 0)
    assert all(math.isfinite(value) for value in found.values())
    assert ("recall_at_1.long_tail_10" in found) == (classes == 2)
    assert "recall_tail.long_tail_10" not in found


def test_collapsed_embeddings_give_all_to_one_class() -> None:
    reference = {"embeddings": torch.zeros(40, 2), "labels": torch.arange(40) % 4}
    query = {"embeddings": torch.zeros(8, 2), "labels": torch.arange(8) % 4}
    found = subpopulation_scores(reference, query, 0)
    assert (found["recall_at_1"], found["worst_class_recall"]) == (0.25, 0)
