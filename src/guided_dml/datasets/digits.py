"""scikit-learn's handwritten digits: 1,797 real images of 8x8 pixels that need no download."""

from __future__ import annotations

from typing import Any

import numpy as np

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
        from sklearn.datasets import load_digits

        digits = load_digits()
        everything = LabelledImages(
            images=np.round(digits.images * (255 / 16)).astype(np.uint8)[:, None],
            labels=digits.target.astype(np.int64),
            classes=[str(name) for name in digits.target_names],
            facts={"source": "scikit-learn's handwritten digits"},
        )
        return part(everything, self.split, self.test_share, self.seed)
