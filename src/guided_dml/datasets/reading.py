"""What the readers of labelled images share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from kedro.io import AbstractDataset, DatasetError

from guided_dml.errors import InputError, Interrupted
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
    from sklearn.model_selection import train_test_split

    labels, classes = everything.labels, everything.classes
    if not 0 < test_share < 1:
        raise InputError(f"test_share: {test_share!r} given; must be between 0 and 1")
    present, counts = np.unique(labels, return_counts=True)
    rows = np.arange(len(labels))
    parts = {"train": rows[:0], "test": rows[:0]}
    with contextlib.suppress(ValueError):  # (fewer images than classes: no part has them all)
        drawn = train_test_split(rows, test_size=test_share, stratify=labels, random_state=seed)
        parts = dict(zip(parts, map(np.sort, drawn), strict=True))
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
