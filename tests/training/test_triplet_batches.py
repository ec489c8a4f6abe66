from __future__ import annotations

import pytest
import torch

from guided_dml.seeding import generator
from guided_dml.training.triplets import TripletBatches, draw, draw_pairs

CPU = torch.device("cpu")
MEMBERS = [torch.arange(12 * label, 12 * label + 12) for label in range(4)]


@pytest.mark.parametrize("classes", [2, 3, 4, 7, 10, 18])
@pytest.mark.parametrize("seed", [0, 1])
def test_pairs_are_distinct_and_balanced_and_leave_no_class_out(classes: int, seed: int) -> None:
    for count in range(classes, classes * (classes - 1) + 1):
        pairs = draw_pairs(classes, count, generator(seed, "pairs"))
        assert pairs.shape == (count, 2)
        assert len(pairs.unique(dim=0)) == count
        assert (pairs[:, 0] != pairs[:, 1]).all()
        for role in pairs.T:
            times = role.bincount(minlength=classes)
            assert times.max() - times.min() <= 1
            assert times.min() >= 1


def test_every_pair_can_be_drawn_in_every_place() -> None:
    seen = torch.stack([draw_pairs(4, 5, generator(seed, "pairs")) for seed in range(200)])
    for place in range(5):
        assert len(seen[:, place].unique(dim=0)) == 12


def test_pairs_come_one_after_the_other_every_epoch() -> None:
    triplets = {
        "classes": torch.tensor([[0, 1], [1, 0]]),
        "anchors": torch.tensor([[1, 2], [7, 8]]),
        "positives": torch.tensor([[3, 4], [9, 10]]),
        "negatives": torch.tensor([[7, 8], [1, 3]]),
    }
    batches = TripletBatches(triplets, CPU)
    assert (len(batches), batches.images) == (2, 12)
    for number in (1, 2):
        first, second = batches.epoch(number)
        assert (first.positive_class, first.negative_class) == (0, 1)
        assert first.rows.tolist() == [1, 2, 3, 4, 7, 8]
        assert second.rows.tolist() == [7, 8, 9, 10, 1, 3]


def epoch(batches: TripletBatches, number: int) -> list[tuple[int, int, list[int]]]:
    return [(same, other, rows.tolist()) for same, other, rows in batches.epoch(number)]


def test_fresh_triplets_follow_the_stored_ones() -> None:
    stored = draw(MEMBERS, 6, 3, generator(0, "triplets"))
    kept = epoch(TripletBatches(stored, CPU), 1)
    batches = TripletBatches(stored, CPU, generator(0, "fresh triplets"), MEMBERS)
    first, second, third = (epoch(batches, number) for number in (1, 2, 3))
    assert first == kept
    assert [len(second), len(third)] == [len(batches)] * 2
    assert len({str(sorted(some)) for some in (first, second, third)}) == 3
    for same, other, rows in second + third:
        assert [row // 12 for row in rows] == [same] * 6 + [other] * 3
