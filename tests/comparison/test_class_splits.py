from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from guided_dml.comparison.class_splits import choices, class_splits_of
from guided_dml.errors import InputError
from guided_dml.robustness.names import class_split, class_splits_for

DIGITS = [*"0123456789"]


def test_choices_are_numbers_or_names_and_each_counts_once() -> None:
    labels = np.repeat(np.arange(10), 16)
    found = choices(["359842", "0+1", "245983", "01"], "digits", DIGITS, labels)
    assert found == [[*"245983"], ["0", "1"]]
    assert choices(["20", "b+a"], "mine", [*"abcd"], labels[:64]) == [["a", "c"], ["a", "b"]]


def test_names_that_would_be_quoted_are_given_by_number() -> None:
    names, labels = ["a+b", "x,y", "C++", "Go", "日 本"], np.repeat(np.arange(5), 16)
    (split,) = class_splits_for("langs", names)
    assert split == "0+1+2"
    assert choices([split], "langs", names, labels) == [names[:3]]
    assert class_split(["Go", "日 本"], names) == "Go+4"
    assert class_split(["Go", "C"], ["C", "Go"]) == "Go+C"
    mixed = ["7", "c++ code", "Go"]
    assert class_split(mixed[:2], mixed) == "7+1"
    assert choices(["7+1"], "langs", [*mixed, "C", "R"], labels) == [mixed[:2]]
    assert class_split(["c++ code"], [*"1c", "c++ code", "2"]) == "c++ code"  # (2 is another)


def test_of_fewer_than_four_classes_there_is_no_choice() -> None:
    assert class_splits_for("few", [*"abc"]) == []
    assert class_splits_for("few", [*"abcd"]) == ["a+b"]


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
        choices(["245983", split], "digits", DIGITS, np.repeat(np.arange(10), [20] * 9 + [images]))


def test_digits_stand_for_ten_classes_at_most() -> None:
    names = [f"c{number}" for number in range(12)]
    labels = np.repeat(np.arange(12), 16)
    with pytest.raises(InputError, match=r"12: a digit stands for .* there are 12; .*c0\+c1"):
        choices(["12"], "mine", names, labels)
    assert choices(["c1+c11"], "mine", names, labels) == [["c1", "c11"]]


def test_the_environments_own_choice_keeps_its_order_and_the_tail_is_of_the_chosen(
    project: Path,
) -> None:
    own = [*"543298"]
    tail = {"classes": own, "imbalance_factor": 20.0}
    (found, other) = class_splits_of(project, "digits", ["245983", "326940"], {"data": tail})
    assert found == {"data": {"classes": own}}
    assert other == {"data": {"classes": [*"326940"]}}
    (stored,) = project.glob("data/08_reporting/digits/data_report.json/*/data_report.json")
    assert min(json.loads(stored.read_text())["train"]["images_of_class"].values()) == 139
