from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
import torch

from guided_dml.seeding import generator
from guided_dml.training.batches import DeviceImages, RandomBatches, TripletBatches

CPU = torch.device("cpu")


def test_images_are_normalised_when_taken() -> None:
    pixels = torch.randint(0, 256, (5, 3, 4, 4), dtype=torch.uint8)
    statistics = {"mean": [10.0, 20.0, 30.0], "std": [2.0, 4.0, 8.0]}
    images = DeviceImages(pixels, statistics, CPU)
    taken = images.take(torch.tensor([4, 0]))
    mean, std = (np.array(statistics[name])[:, None, None] for name in ("mean", "std"))
    expected = (pixels.numpy()[[4, 0]].astype(np.float64) - mean) / std
    np.testing.assert_allclose(taken.numpy(), expected, rtol=1e-6)


def test_raw_pixels_stay_as_they_are() -> None:
    pixels = torch.randint(0, 256, (5, 3, 4, 4), dtype=torch.uint8)
    assert DeviceImages(pixels, None, CPU).take(slice(1, 3)).equal(pixels[1:3].float())


@pytest.mark.parametrize(("count", "size", "sizes"), [(10, 4, [4, 4, 2]), (8, 4, [4, 4])])
def test_an_epoch_visits_every_index_once_in_a_new_order(
    count: int, size: int, sizes: list[int]
) -> None:
    indices = torch.arange(100, 100 + count)
    batches = RandomBatches(indices, size, generator(0, "order"))
    first, second = ([batch.tolist() for batch in batches] for _ in range(2))
    assert [len(batch) for batch in first] == sizes
    assert len(batches) == len(sizes)
    assert batches.images == count
    assert sorted(chain(*first)) == sorted(chain(*second)) == indices.tolist()
    assert first != second
    again = RandomBatches(indices, size, generator(0, "order"))
    assert [batch.tolist() for batch in again] == first


def test_a_last_batch_of_one_is_left_out() -> None:
    batches = RandomBatches(torch.arange(9), 4, generator(0, "order"))
    assert [len(batch) for batch in batches] == [4, 4]
    assert (len(batches), batches.images) == (2, 8)


def test_triplets_come_pair_after_pair_every_epoch() -> None:
    triplets = {
        "classes": torch.tensor([[0, 1], [1, 0]]),
        "anchors": torch.tensor([[1, 2], [7, 8]]),
        "positives": torch.tensor([[3, 4], [9, 10]]),
        "negatives": torch.tensor([[7, 8], [1, 3]]),
    }
    batches = TripletBatches(triplets, CPU)
    assert (len(batches), batches.images) == (2, 12)
    for _ in range(2):
        first, second = batches
        assert (first.positive_class, first.negative_class) == (0, 1)
        assert first.rows.tolist() == [1, 2, 3, 4, 7, 8]
        assert second.rows.tolist() == [7, 8, 9, 10, 1, 3]
