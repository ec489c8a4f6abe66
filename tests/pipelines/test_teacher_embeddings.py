from __future__ import annotations

import pytest
import torch

from guided_dml.pipelines.teacher_embeddings.nodes import assess_teacher
from guided_dml.types import Tensors

#: Images 5, 2, 9 and 0 of a training set: two of class 0 at x = 0 and 2, two of class 1 above.
SPLIT = {"train": torch.tensor([5, 2, 9, 0])}
LABELS = torch.tensor([0, 1, 0, 1])
#: The anchor, its positive and its negative, of both classes.
TRIPLETS = {
    "classes": torch.tensor([[0, 1], [1, 0]]),
    "anchors": torch.tensor([[5], [2]]),
    "positives": torch.tensor([[9], [0]]),
    "negatives": torch.tensor([[2], [9]]),
}


def teacher(height: float) -> Tensors:
    points = torch.tensor([[0.0, 0.0], [0.0, height], [2.0, 0.0], [2.0, height]])
    return {"embeddings": points, "labels": LABELS}


def test_scores_are_those_worked_out_by_hand(warned: list[str]) -> None:
    scores = assess_teacher(teacher(4.0), TRIPLETS, SPLIT, margin=2.3)
    # Triplets: |ap| = 2, |an| = 4 lacks 0.3 of the margin; |ap| = 2, |an| = sqrt(20) none.
    assert scores == pytest.approx(
        {
            "nearest_centre_distance": 4.0,
            "own_centre_distance": 1.0,
            "centre_ratio": 4.0,
            "triplet_violation": 0.5,
            "triplet_hinge": 0.15,
            "scale": 5**0.5,
        }
    )
    assert not warned


def test_classes_close_together_are_warned_of(warned: list[str]) -> None:
    assert assess_teacher(teacher(2.9), TRIPLETS, SPLIT, margin=2.0)["centre_ratio"] < 3
    (message,) = warned
    assert "2.90 apart" in message
    assert "gemini.fresh_triplets=true" in message


def test_classes_on_one_spot_each_have_a_finite_ratio(warned: list[str]) -> None:
    points = torch.tensor([[0.0, 0.0], [0.0, 4.0], [0.0, 0.0], [0.0, 4.0]])
    scores = assess_teacher({"embeddings": points, "labels": LABELS}, TRIPLETS, SPLIT, margin=3.0)
    assert 1e6 < scores["centre_ratio"] < float("inf")
    assert scores["triplet_violation"] == 0
    nowhere = {"embeddings": torch.zeros(4, 2), "labels": LABELS}
    assert assess_teacher(nowhere, TRIPLETS, SPLIT, margin=3.0)["centre_ratio"] == 0
    assert len(warned) == 1
