from __future__ import annotations

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from guided_dml.datasets.reading import stratified


@pytest.mark.parametrize("share", [0.1, 0.2, 1 / 3, 0.5, 0.77])
@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_the_split_is_scikit_learns(share: float, seed: int) -> None:
    for classes in (2, 3, 7, 10):
        labels = np.random.default_rng(seed).integers(0, classes, 197) * 2  # (with gaps)
        rows = np.arange(len(labels))
        drawn = train_test_split(rows, test_size=share, stratify=labels, random_state=seed)
        for ours, theirs in zip(stratified(labels, share, seed), drawn, strict=True):
            assert np.array_equal(ours, np.sort(theirs))
