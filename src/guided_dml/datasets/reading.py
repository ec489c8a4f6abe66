"""What the readers of labelled images share."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from kedro.io import AbstractDataset, DatasetError
from numpy.typing import NDArray

from guided_dml.errors import InputError
from guided_dml.types import LabelledImages

Split = Literal["train", "test"]


class ReadOnlyImages(AbstractDataset[None, LabelledImages]):
    """A source of labelled images that is only ever read."""

    def save(self, data: None) -> None:  # noqa: ARG002
        """Refuse: raw data are never written."""
        raise DatasetError("raw images are only read, never saved")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        hidden = ("_", "metadata")
        return {name: value for name, value in vars(self).items() if not name.startswith(hidden)}


def check_split(split: str) -> None:
    """Raise InputError unless ``split`` is train or test."""
    if split not in ("train", "test"):
        raise InputError(f"split: {split!r} given; must be 'train' or 'test'")


def share_of_each_class(
    labels: NDArray[np.int64], share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split indices at random, stratified by class.

    Args:
        labels: int64 ``[N]``.
        share: Share of every class that goes into the second part, in (0, 1).
        seed: Of the draw.

    Returns:
        The indices of the two parts, int64, ascending.

    Raises:
        InputError: A class is too small to be in both parts.
    """
    from sklearn.model_selection import train_test_split

    smallest = np.unique(labels, return_counts=True)[1].min()
    if smallest < 2:
        raise InputError("a class has a single image and cannot be split into two parts")
    first, second = train_test_split(
        np.arange(len(labels)), test_size=share, stratify=labels, random_state=seed
    )
    return np.sort(first), np.sort(second)


def part(everything: LabelledImages, split: Split, test_share: float, seed: int) -> LabelledImages:
    """Return the training or the test part of images that come in one piece."""
    train, test = share_of_each_class(everything.labels, test_share, seed)
    rows = train if split == "train" else test
    facts = everything.facts | {"test_share": test_share, "split_seed": seed}
    return LabelledImages(
        everything.images[rows], everything.labels[rows], everything.classes, facts
    )
