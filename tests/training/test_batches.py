from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import pad

from guided_dml.seeding import generator
from guided_dml.training.batches import DeviceImages, RandomBatches, View
from guided_dml.training.policy import Policy


def test_images_are_normalised_when_taken(policy: Policy) -> None:
    pixels = torch.randint(0, 256, (5, 3, 4, 4), dtype=torch.uint8)
    statistics = {"mean": [10.0, 20.0, 30.0], "std": [2.0, 4.0, 8.0]}
    images = DeviceImages(pixels, statistics, policy.device)
    taken = images.take(torch.tensor([4, 0]))
    mean, std = (np.array(statistics[name])[:, None, None] for name in ("mean", "std"))
    expected = (pixels.numpy()[[4, 0]].astype(np.float64) - mean) / std
    np.testing.assert_allclose(taken.cpu().numpy(), expected, rtol=1e-6)


def test_raw_pixels_stay_as_they_are(policy: Policy) -> None:
    pixels = torch.randint(0, 256, (5, 3, 4, 4), dtype=torch.uint8)
    taken = DeviceImages(pixels, None, policy.device).take(slice(1, 3))
    assert taken.cpu().equal(pixels[1:3].float())


def test_views_are_those_of_torch_by_hand(policy: Policy) -> None:
    pixels = torch.randint(0, 256, (9, 3, 6, 5), dtype=torch.uint8)
    mirrored = torch.arange(9) % 2 == 0
    shifts = torch.tensor([[down, right] for down in (-2, 0, 2) for right in (-1, 0, 2)])
    rows = torch.randperm(9)
    view = View(mirrored.to(policy.device), shifts.to(policy.device))
    taken = DeviceImages(pixels, None, policy.device).take(rows.to(policy.device), view)
    for image, row, mirror, (down, right) in zip(
        taken.cpu(), rows, mirrored.tolist(), shifts.tolist(), strict=True
    ):
        padded = pad(pixels[row].float()[None], (2, 2, 2, 2), mode="reflect")[0]
        moved = padded[:, 2 - down : 8 - down, 2 - right : 7 - right]
        assert image.equal(moved.flip(2) if mirror else moved)
    assert taken.is_contiguous(memory_format=torch.channels_last)


def views(flip: Any, shift: int, epochs: int) -> list[tuple[dict[int, bool], dict[int, Any]]]:
    batches = RandomBatches(torch.arange(400), 64, generator(0, "x"), flip=flip, shift=shift)
    found = []
    for number in range(1, epochs + 1):
        parts = list(batches.epoch(number))
        rows = [row for part in parts for row in part.rows.tolist()]
        seen = [part.view for part in parts if part.view]
        mirrored = [coin for view in seen for coin in view.mirrored.tolist()]
        shifts = [tuple(some) for view in seen for some in view.shifts.tolist()]
        found.append((dict(zip(rows, mirrored, strict=True)), dict(zip(rows, shifts, strict=True))))
    return found


def test_alternating_flips_show_both_sides_in_two_epochs() -> None:
    (first, _), (second, _), (third, _) = views("alternating", 0, 3)
    assert 150 < sum(first.values()) < 250
    assert {row: not mirror for row, mirror in first.items()} == second
    assert first == third


def test_random_views_are_drawn_anew() -> None:
    (first, moved), (second, moved_again) = views("random", 2, 2)
    assert 150 < sum(first[row] == second[row] for row in first) < 250
    places = {(down, right) for down in range(-2, 3) for right in range(-2, 3)}
    assert set(moved.values()) == set(moved_again.values()) == places
    assert sum(moved[row] == moved_again[row] for row in moved) < 50
    (kept, _), *_ = views("none", 1, 1)
    assert not any(kept.values())


@pytest.mark.parametrize(("count", "size", "sizes"), [(10, 4, [4, 4, 2]), (8, 4, [4, 4])])
def test_an_epoch_visits_every_index_once_in_a_new_order(
    count: int, size: int, sizes: list[int]
) -> None:
    indices = torch.arange(100, 100 + count)
    batches = RandomBatches(indices, size, generator(0, "order"))
    first, second = ([batch.rows.tolist() for batch in batches.epoch(n)] for n in (1, 2))
    assert [len(batch) for batch in first] == sizes
    assert len(batches) == len(sizes)
    assert batches.images == count
    assert sorted(chain(*first)) == sorted(chain(*second)) == indices.tolist()
    assert first != second
    again = RandomBatches(indices, size, generator(0, "order"))
    assert [batch.rows.tolist() for batch in again.epoch(1)] == first


def test_a_last_batch_of_one_is_left_out() -> None:
    batches = RandomBatches(torch.arange(9), 4, generator(0, "order"))
    assert [len(batch.rows) for batch in batches.epoch(1)] == [4, 4]
    assert (len(batches), batches.images) == (2, 8)
