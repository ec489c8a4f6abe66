from __future__ import annotations

from collections import Counter
from itertools import permutations
from typing import Any

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


def drawn(
    batch_size: int = 3, seed: int = 0, counts: list[int] = COUNTS, **settings: Any
) -> Tensors:
    parameters = TripletParameters(batch_size=batch_size, **settings)
    names = [f"class {label}" for label in range(len(counts))]
    return draw_triplets(*training_set(counts), names, parameters, seed)


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


def test_the_batch_is_capped_at_half_the_smallest_class(warned: list[str]) -> None:
    images, split = training_set()
    smallest = int(images["labels"][split["train"]].bincount().min())
    shape = (12, smallest // 2)
    assert drawn(smallest // 2, repeat=False)["anchors"].shape == shape
    assert not warned
    assert drawn(1000, repeat=False)["anchors"].shape == shape
    assert f"it is {smallest // 2} for all classes" in warned[0]


def test_every_image_can_be_drawn_in_every_place() -> None:
    _, split = training_set()
    for name in ("anchors", "positives", "negatives"):
        seen = torch.cat([drawn(3, seed)[name].flatten() for seed in range(20)]).unique()
        assert set(seen.tolist()) == set(split["train"].tolist())


def test_the_seed_fixes_the_triplets() -> None:
    first, again, other = drawn(seed=5), drawn(seed=5), drawn(seed=6)
    for name in first:
        assert torch.equal(first[name], again[name])
        assert not torch.equal(first[name], other[name])


def test_a_class_with_fewer_than_two_training_images_is_refused() -> None:
    images, split = training_set()
    labels = images["labels"][split["train"]]
    keep = torch.cat([split["train"][labels != 2], split["train"][labels == 2][:1]])
    parameters = TripletParameters(batch_size=2, repeat=True)
    with pytest.raises(InputError, match="fewer than two training images"):
        draw_triplets(images, {"train": keep}, list("abcd"), parameters, 0)


@pytest.mark.parametrize("batch_size", [1, 5, 6, 12, 100])
def test_small_classes_repeat_images_but_no_anchor_is_its_own_positive(
    batch_size: int, warned: list[str]
) -> None:
    images, split = training_set()
    labels = images["labels"]
    triplets = drawn(batch_size, repeat=True)
    assert triplets["anchors"].shape == (12, batch_size)
    assert not (triplets["anchors"] == triplets["positives"]).any()
    sizes = labels[split["train"]].bincount().tolist()
    for row, pair in enumerate(triplets["classes"].tolist()):
        same = torch.cat([triplets["anchors"][row], triplets["positives"][row]]).tolist()
        other = triplets["negatives"][row].tolist()
        for label, some in zip(pair, (same, other), strict=True):
            times = Counter(some)
            assert {int(labels[image]) for image in times} == {label}
            assert len(times) == min(len(some), sizes[label])
            assert max(times.values()) <= -(-len(some) // sizes[label]) + 1
    short = [f"'class {label}'" for label, size in enumerate(sizes) if size < 2 * batch_size]
    assert len(warned) == bool(short)
    assert all(name in warned[0] for name in short)


def test_what_repeats_nothing_is_drawn_as_without(warned: list[str]) -> None:
    for name, tensor in drawn(3, repeat=True).items():
        assert tensor.equal(drawn(3)[name])
    assert not warned


def test_of_many_classes_that_repeat_five_are_named(warned: list[str]) -> None:
    drawn(batch_size=20, counts=[12] * 9, repeat=True)
    (message,) = warned
    assert "40 training images" in message
    assert "'class 4' and 4 more" in message
    assert "class 5" not in message


@pytest.mark.parametrize(("classes", "pairs"), [(2, 2), (17, 272), (18, 300), (60, 300), (70, 350)])
def test_as_many_pairs_as_are_useful(classes: int, pairs: int) -> None:
    assert len(drawn(1, counts=[12] * classes)["classes"]) == pairs


def test_a_number_of_pairs_can_be_asked_for() -> None:
    pairs = drawn(2, pairs=7)["classes"]
    assert len(pairs.unique(dim=0)) == len(pairs) == 7


@pytest.mark.parametrize("pairs", [3, 13])
def test_pairs_that_leave_a_class_out_or_repeat_are_refused(pairs: int) -> None:
    with pytest.raises(InputError, match=rf"triplets.pairs: {pairs} given; 4 .* 4, .* to 12"):
        drawn(2, pairs=pairs)
