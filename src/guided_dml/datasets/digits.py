"""scikit-learn's handwritten digits: 1,797 real images of 8x8 pixels that need no download."""

from __future__ import annotations

import numpy as np

from guided_dml.datasets.reading import ReadOnlyImages
from guided_dml.types import LabelledImages


class DigitsDataset(ReadOnlyImages):
    """The digits of ``sklearn.datasets.load_digits``."""

    def load(self) -> LabelledImages:
        """Return uint8 images ``[N, 1, 8, 8]`` whose 17 grey levels span 0-255."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        return LabelledImages(
            images=np.round(digits.images * (255 / 16)).astype(np.uint8)[:, None],
            labels=digits.target.astype(np.int64),
            classes=[str(digit) for digit in range(10)],
            names=[str(number) for number in range(len(digits.target))],
            facts={"source": "scikit-learn's handwritten digits"},
        )
