"""What the readers of labelled images share."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from kedro.io import AbstractDataset, DatasetError
from numpy.typing import NDArray

from guided_dml.errors import InputError, Interrupted
from guided_dml.types import LabelledImages

Split = Literal["train", "test"]
Integers = NDArray[np.int64]


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


@contextlib.contextmanager
def failing_as(message: str) -> Iterator[None]:
    """Raise InputError ``message`` and the reason for whatever error comes up within.

    What a damaged file makes a foreign reader raise is not documented, and of many kinds.
    """
    try:
        yield
    except (InputError, Interrupted):
        raise
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
        raise InputError(f"{message} ({reason})") from error


def part(everything: LabelledImages, split: Split, test_share: float, seed: int) -> LabelledImages:
    """Return the training or the test part of images that come in one piece.

    Args:
        everything: The images.
        split: Which part.
        test_share: Share of every class that is the test part, in (0, 1).
        seed: Of the draw.

    Raises:
        InputError: The share is out of range, or a class is too small to be in both parts.
    """
    labels, classes = everything.labels, everything.classes
    if not 0 < test_share < 1:
        raise InputError(f"test_share: {test_share!r} given; must be between 0 and 1")
    present, counts = np.unique(labels, return_counts=True)
    parts = dict(zip(("train", "test"), stratified(labels, test_share, seed), strict=True))
    if any(len(np.unique(labels[chosen])) < len(present) for chosen in parts.values()):
        smallest = counts.argmin()
        raise InputError(
            f"{everything.facts['source']}: class {classes[present[smallest]]!r} has "
            f"{counts[smallest]} images, too few to be in both parts with test_share "
            f"{test_share}; add images, remove it, or change test_share in the catalog"
        )
    facts = everything.facts | {"test_share": test_share, "split_seed": seed}
    chosen = parts[split]
    return LabelledImages(everything.images[chosen], labels[chosen], classes, facts)


def stratified(labels: Integers, test_share: float, seed: int) -> tuple[Integers, Integers]:
    """Return ascending rows of the training and of the test part, of every class its share.

    The rows are those of scikit-learn's ``train_test_split(..., stratify=labels)``, which would
    be 3 s of imports before a run's first step.
    """
    rng = np.random.RandomState(seed)
    _, counts = np.unique(labels, return_counts=True)
    test = math.ceil(test_share * len(labels))
    of_train = _shares(counts, len(labels) - test, rng)
    _shares(counts - of_train, test, rng)  # (all the others, but it may draw lots as there)
    of_class = np.split(labels.argsort(kind="stable"), counts.cumsum()[:-1])
    train, held_out = [], []
    for rows, count in zip(of_class, of_train, strict=True):
        shuffled = rows[rng.permutation(len(rows))]
        train.append(shuffled[:count])
        held_out.append(shuffled[count:])
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(held_out))


def _shares(counts: Integers, total: int, rng: np.random.RandomState) -> Integers:
    """Return how many of ``total`` fall to each class; the largest fractions are rounded up."""
    exact = counts / counts.sum() * total
    shares: NDArray[np.float64] = np.floor(exact)
    fractions = exact - shares
    missing = int(total - shares.sum())
    for fraction in np.unique(fractions)[::-1]:
        if missing:
            tied = np.flatnonzero(fractions == fraction)
            chosen = rng.choice(tied, min(len(tied), missing), replace=False)
            shares[chosen] += 1
            missing -= len(chosen)
    return shares.astype(np.int64)
