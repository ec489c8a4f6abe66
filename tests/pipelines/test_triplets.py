from __future__ import annotations

from itertools import permutations

import pytest
import torch

from guided_dml.blocks import TripletParameters
from guided_dml.errors import InputError
from guided_dml.pipelines.triplets.nodes import draw_triplets
from guided_dml.types import Tensors

#: Images of each class, shuffled; the first rows are held out.
COUNTS = [9, 14, 11, 20]
HELD_OUT = 10


def training_set(counts: list[int] = COUNTS) -> tuple[Tensors, Tensors]:
    labels = torch.cat([torch.full((count,), label) for label, count in enumerate(counts)])
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]
    rows = torch.arange(len(labels))
    return {"labels": labels}, {"train": rows[HELD_OUT:], "validation": rows[:HELD_OUT]}


def drawn(batch_size: int = 3, seed: int = 0, counts: list[int] = COUNTS) -> Tensors:
    return draw_triplets(*training_set(counts), TripletParameters(batch_size=batch_size), seed)


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("seed", [0, 1])
def test_against_a_slow_obvious_check(batch_size: int, seed: int) -> None:
    images, split = training_set()
    triplets = drawn(batch_size, seed)
    assert all(tensor.dtype == torch.int64 for tensor in triplets.values())
    pairs = [tuple(pair) for pair in triplets["classes"].tolist()]
    assert sorted(pairs) == list(permutations(range(len(COUNTS)), 2))
    assert pairs != sorted(pairs)
    usable = set(split["train"].tolist())
    for row, (own, other) in enumerate(pairs):
        anchors, positives, negatives = (
            triplets[name][row].tolist() for name in ("anchors", "positives", "negatives")
        )
        assert len(anchors) == len(positives) == len(negatives) == batch_size
        assert len({*anchors, *positives}) == 2 * batch_size
        assert len(set(negatives)) == batch_size
        assert {*anchors, *positives, *negatives} <= usable
        assert {int(images["labels"][image]) for image in anchors + positives} == {own}
        assert {int(images["labels"][image]) for image in negatives} == {other}


def test_the_batch_is_capped_at_half_the_smallest_class() -> None:
    images, split = training_set()
    smallest = int(images["labels"][split["train"]].bincount().min())
    assert drawn(1000)["anchors"].shape == (12, smallest // 2)
    assert drawn(smallest // 2)["anchors"].shape == (12, smallest // 2)


def test_every_image_can_be_drawn_in_every_place() -> None:
    images, split = training_set()
    for name in ("anchors", "positives", "negatives"):
        seen = torch.cat([drawn(3, seed)[name].flatten() for seed in range(20)]).unique()
        assert set(seen.tolist()) == set(split["train"].tolist())
    assert len(images["labels"]) == sum(COUNTS)


def test_the_seed_fixes_the_triplets() -> None:
    first, again, other = drawn(seed=5), drawn(seed=5), drawn(seed=6)
    for name in first:
        assert torch.equal(first[name], again[name])
        assert not torch.equal(first[name], other[name])


def test_a_class_with_fewer_than_two_training_images_is_refused() -> None:
    images, split = training_set()
    labels = images["labels"][split["train"]]
    keep = torch.cat([split["train"][labels != 2], split["train"][labels == 2][:1]])
    with pytest.raises(InputError, match="fewer than two training images"):
        draw_triplets(images, {"train": keep}, TripletParameters(batch_size=2), 0)
