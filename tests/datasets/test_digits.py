from __future__ import annotations

import numpy as np
import pytest
from kedro.io import AbstractDataset, DatasetError
from sklearn.datasets import load_digits

from guided_dml.datasets.digits import DigitsDataset
from guided_dml.types import LabelledImages


def test_the_digits_are_rescaled() -> None:
    read, digits = DigitsDataset().load(), load_digits()
    assert np.array_equal(read.images[:, 0], np.round(digits.images * 255 / 16))
    assert read.images.dtype == np.uint8
    assert (read.images.min(), read.images.max()) == (0, 255)
    assert np.array_equal(read.labels, digits.target)
    assert read.labels.dtype == np.int64
    assert read.classes == [str(digit) for digit in range(10)]
    assert read.names == [str(number) for number in range(1797)]
    assert read.test is None


def test_kedro_makes_it_from_a_catalog_entry() -> None:
    entry = {
        "type": "guided_dml.datasets.digits.DigitsDataset",
        "metadata": {"kedro-viz": {"layer": "raw"}},
    }
    dataset: AbstractDataset[None, LabelledImages] = AbstractDataset.from_config(
        "raw_images", entry
    )
    assert isinstance(dataset, DigitsDataset)
    assert dataset.exists()
    assert dataset.fingerprint() == dataset.load().fingerprint()
    with pytest.raises(DatasetError, match="only read, never saved"):
        dataset.save(dataset.load())  # type: ignore[arg-type]
