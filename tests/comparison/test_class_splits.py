from __future__ import annotations

import numpy as np
import pytest

from guided_dml.comparison.class_splits import choices
from guided_dml.errors import InputError

DIGITS = [*"0123456789"]


def test_choices_are_numbers_or_names_and_each_counts_once() -> None:
    labels = np.repeat(np.arange(10), 16)
    found = choices(["245983", "0+1", "359842", "01"], DIGITS, labels)
    assert found == [[*"245983"], ["0", "1"]]
    assert choices(["20", "b+a"], [*"abcd"], labels[:64]) == [["c", "a"], ["b", "a"]]


@pytest.mark.parametrize(
    ("split", "images", "words"),
    [
        ("24a", 16, "unknown class in --class-splits 24a '24a'; known: 0, 1, 2"),
        ("2+x", 16, r"unknown class in --class-splits 2\+x 'x'; known: 0, 1, 2"),
        ("3", 16, "--class-splits 3: at least 2 classes are needed, each named once"),
        ("4+5+4", 16, r"--class-splits 4\+5\+4: at least 2 classes are needed, each named once"),
        ("012345678", 16, "--class-splits 012345678: leaves 1 of 10 classes unseen; at least 2 "),
        ("01", 15, "--class-splits 01: .* 15 images .* at least 16 .* data.images_per_class"),
    ],
)
def test_what_leaves_nothing_to_measure_is_refused(split: str, images: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        choices(["245983", split], DIGITS, np.repeat(np.arange(10), [20] * 9 + [images]))


def test_digits_stand_for_ten_classes_at_most() -> None:
    names = [f"c{number}" for number in range(12)]
    labels = np.repeat(np.arange(12), 16)
    with pytest.raises(InputError, match=r"12: a digit stands for .* there are 12; .*c0\+c1"):
        choices(["12"], names, labels)
    assert choices(["c1+c11"], names, labels) == [["c1", "c11"]]
