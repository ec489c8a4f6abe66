from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from kedro.io import AbstractDataset, DatasetError
from sklearn.datasets import load_digits

from guided_dml.datasets.digits import DigitsDataset
from guided_dml.errors import InputError
from guided_dml.types import LabelledImages


def multiset(*parts: LabelledImages) -> Counter[tuple[bytes, int]]:
    return Counter(
        (image.tobytes(), int(label))
        for part in parts
        for image, label in zip(part.images, part.labels, strict=True)
    )


def test_both_parts_together_are_the_digits_rescaled() -> None:
    train, test = DigitsDataset(split="train").load(), DigitsDataset(split="test").load()
    digits = load_digits()
    images = np.round(digits.images * 255 / 16).astype(np.uint8)
    expected = Counter(
        (image.tobytes(), int(label)) for image, label in zip(images, digits.target, strict=True)
    )
    assert multiset(train, test) == expected
    assert train.images.dtype == np.uint8
    assert train.images.shape[1:] == (1, 8, 8)
    assert train.labels.dtype == np.int64
    assert (train.images.min(), train.images.max()) == (0, 255)
    assert train.classes == [str(digit) for digit in range(10)]
    assert train.facts["test_share"] == 0.2


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_the_split_is_stratified(share: float) -> None:
    test = DigitsDataset(split="test", test_share=share).load()
    whole, held = np.bincount(load_digits().target), np.bincount(test.labels)
    assert np.abs(held - share * whole).max() <= 1
    assert len(test.labels) == pytest.approx(share * 1797, abs=1)


def test_the_seed_fixes_the_split() -> None:
    first, again, other = (DigitsDataset(split="test", seed=seed).load() for seed in (3, 3, 4))
    assert np.array_equal(first.images, again.images)
    assert np.array_equal(first.labels, again.labels)
    assert multiset(first) != multiset(other)


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(InputError, match="split: 'validation' given; must be 'train' or 'test'"):
        DigitsDataset(split="validation")  # type: ignore[arg-type]


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(DatasetError, match=r"test_share: .* between 0 and 1") as caught:
        DigitsDataset(split="test", test_share=share).load()
    assert isinstance(caught.value.__cause__, InputError)


def test_kedro_makes_it_from_a_catalog_entry() -> None:
    entry = {
        "type": "guided_dml.datasets.digits.DigitsDataset",
        "split": "test",
        "seed": 5,
        "metadata": {"kedro-viz": {"layer": "raw"}},
    }
    dataset: AbstractDataset[None, LabelledImages] = AbstractDataset.from_config("raw_test", entry)
    assert isinstance(dataset, DigitsDataset)
    assert dataset._describe() == {"split": "test", "test_share": 0.2, "seed": 5}
    assert dataset.exists()
    assert multiset(dataset.load()) == multiset(DigitsDataset(split="test", seed=5).load())
    with pytest.raises(DatasetError, match="only read, never saved"):
        dataset.save(dataset.load())  # type: ignore[arg-type]
