"""scikit-learn's handwritten digits: 1,797 real images of 8x8 pixels that need no download."""

from __future__ import annotations

from importlib.metadata import distribution
from typing import Any

import numpy as np
from numpy.typing import NDArray

from guided_dml.datasets.reading import ReadOnlyImages, Split, check_split, part
from guided_dml.types import LabelledImages


class DigitsDataset(ReadOnlyImages):
    """The digits of ``sklearn.datasets.load_digits``, split by a seed."""

    def __init__(
        self,
        *,
        split: Split,
        test_share: float = 0.2,
        seed: int = 0,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Choose a part.

        Args:
            split: ``train`` or ``test``.
            test_share: Stratified share of the images that is the test part.
            seed: Seed of that split.
            metadata: Ignored by Kedro; kedro-viz reads its layer there.
        """
        check_split(split)
        self.metadata = metadata
        self.split: Split = split
        self.test_share, self.seed = test_share, seed

    def load(self) -> LabelledImages:
        """Return the part: uint8 images ``[N, 1, 8, 8]`` whose 17 grey levels span 0-255."""
        pixels, labels = _digits()
        everything = LabelledImages(
            images=np.round(pixels * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8),
            labels=labels,
            classes=[str(digit) for digit in range(10)],
            facts={"source": "scikit-learn's handwritten digits"},
        )
        return part(everything, self.split, self.test_share, self.seed)


def _digits() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the grey levels (0-16) ``[N, 64]`` and the labels of ``load_digits``.

    From the installed file itself: to import scikit-learn takes 3 s before a run's first step.
    """
    file = distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")
    table = np.loadtxt(str(file), np.int64, delimiter=",")
    return table[:, :-1], table[:, -1]
