from __future__ import annotations

import json
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.datasets import load_digits

from guided_dml.errors import InputError
from guided_dml.robustness.names import MADE_SETS
from guided_dml.robustness.other_sets import digits_domain, made_set, matched, stored_images

SHAPES = [(1, 8, 8), (3, 32, 32), (1, 28, 20), (3, 500, 600)]


def drawn(count: int, *shape: int) -> Any:
    return np.random.default_rng(0).integers(0, 256, (count, *shape), np.uint8)


@pytest.mark.parametrize("name", MADE_SETS)
@pytest.mark.parametrize("shape", SHAPES)
def test_made_sets_are_like_the_images_and_come_from_the_seed(
    name: str, shape: tuple[int, int, int]
) -> None:
    like = drawn(3, *shape)
    made, what = made_set(name, like, 0)
    assert made.shape == like.shape
    assert made.dtype == np.uint8
    assert what
    assert_array_equal(made, made_set(name, like, 0)[0])
    assert (made != made_set(name, like, 1)[0]).any()
    assert made.std() > 10


def test_permuted_images_have_their_pixels_in_one_other_order() -> None:
    like = drawn(4, 3, 6, 6)
    made, _ = made_set("permuted", like, 0)
    before, after = (images.transpose(2, 3, 0, 1).reshape(36, -1) for images in (like, made))
    assert (made != like).any()
    assert sorted(map(bytes, before)) == sorted(map(bytes, after))  # (whole pixels of all images)


def test_other_images_are_brought_to_the_size_and_the_channels() -> None:
    grey, what = matched(drawn(2, 1, 4, 6), (3, 8, 8))
    assert what == "grey made RGB, padded with black to 8x8"
    assert_array_equal(grey[:, :, 2:6, 1:7], np.repeat(drawn(2, 1, 4, 6), 3, axis=1))
    assert not grey[:, :, :2].any()
    assert not grey[:, :, :, 7:].any()
    colour = np.full((1, 3, 8, 8), 10, np.uint8)
    colour[:, 1] = 200
    made, what = matched(colour, (1, 4, 4))
    assert what == "RGB made grey, 8x8 made 4x4"
    assert_array_equal(made, np.full((1, 1, 4, 4), round(0.413 * 10 + 0.587 * 200)))
    same, what = matched(colour, (3, 8, 8))
    assert what == "as they are"
    assert_array_equal(same, colour)


def test_scikit_learns_digits_stand_where_mnists_do() -> None:
    classes = ["1 - one", "7 - seven", "zero"]
    images, labels, _ = digits_domain(classes, (1, 28, 28))
    target = load_digits().target
    assert_array_equal(labels, [int(digit == 7) for digit in target if digit in (1, 7)])
    assert images.shape == (len(labels), 1, 28, 28)
    assert not images[:, :, :4].any()
    assert images[:, :, 4:24, 4:24].max(axis=(1, 2, 3)).min() > 200
    with pytest.raises(InputError, match=r"no classes of this data set, which has cat, dog"):
        digits_domain(["cat", "dog"], (1, 28, 28))


def test_of_several_versions_the_newest_of_the_largest_is_taken() -> None:
    def stored(count: int, value: int) -> Any:
        return lambda: {"images": torch.full((count, 1, 2, 2), value, dtype=torch.uint8)}

    versions = {"a/2020": stored(3, 0), "a/2021": stored(3, 1), "a/2022": stored(2, 2)}
    images, version = stored_images(versions | {"ab/2023": stored(9, 3)}, "a")
    assert version == "2021"
    assert images.mean() == 1
    damaged = {"a/2023": partial(json.loads, "{")}
    assert stored_images(versions | damaged, "a")[1] == "2021"
    with pytest.raises(InputError, match=r"images of 'a' are damaged; .*--env=a"):
        stored_images(damaged, "a")
    with pytest.raises(InputError, match=r"no images of 'b' are stored; .*--env=b"):
        stored_images(versions, "b")
