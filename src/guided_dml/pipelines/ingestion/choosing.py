"""Which of the raw images are in which part, of which class, and which of them are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from guided_dml.errors import InputError, known, one_of
from guided_dml.pipelines.ingestion.checks import check_names
from guided_dml.types import LabelledImages

Rows = NDArray[np.int64]

#: Of a class, so that a triplet finds an anchor and a positive.
FEWEST = 2


class Choice(NamedTuple):
    """Some of the classes, numbered anew.

    Attributes:
        labels: int64 ``[N]``, of all raw images, indices into ``classes``; -1: of another class.
        classes: Their names, in the order of the source.
    """

    labels: Rows
    classes: list[str]

    def among(self, rows: Rows) -> Rows:
        """Return those of ``rows`` that are images of these classes."""
        return rows[self.labels[rows] >= 0]

    def counts(self, rows: Rows) -> Rows:
        """Return int64 ``[C]``, how many of ``rows`` are of each class."""
        return np.bincount(self.labels[self.among(rows)], minlength=len(self.classes))


def split(raw: LabelledImages, test_share: float, seed: int) -> dict[str, Rows]:
    """Return the ascending rows of the parts, ``train`` and ``test``.

    Raises:
        InputError: A part is empty, or a class has too few images to be in both.
    """
    from sklearn.model_selection import train_test_split

    rows, labels = np.arange(len(raw.labels)), raw.labels
    if raw.test is not None:
        for name, part in (("training", rows[~raw.test]), ("test", rows[raw.test])):
            if not len(part):
                raise InputError(f"raw_images: none of {len(rows)} images is a {name} image")
        return {"train": rows[~raw.test], "test": rows[raw.test]}
    present, counts = np.unique(labels, return_counts=True)
    try:
        train, test = map(
            np.sort,
            train_test_split(rows, test_size=test_share, stratify=labels, random_state=seed),
        )
        whole = all(len(np.unique(labels[part])) == len(present) for part in (train, test))
    except ValueError:  # (a class of one image, or a part of fewer images than classes)
        whole = False
    if not whole:
        smallest = counts.argmin()
        raise InputError(
            f"class {raw.classes[present[smallest]]!r} has {counts[smallest]} images, too few to "
            f"be in both parts with data.test_share {test_share}; add images, remove it, or "
            "change the share"
        )
    return {"train": train, "test": test}


def numbered(raw: LabelledImages, parts: Mapping[str, Rows]) -> Choice:
    """Return all classes that have training images.

    Raises:
        InputError: Test images are of another class, or names are no names.
    """
    present = np.unique(raw.labels[parts["train"]])
    untrained = np.setdiff1d(raw.labels[parts["test"]], present)
    if len(untrained):
        raise InputError(
            "the test set has classes without a training image: "
            f"{', '.join(str(raw.classes[label]) for label in untrained)}; remove them there, or "
            "add training images"
        )
    classes = [raw.classes[label] for label in present]
    check_names(classes)
    # (as data.classes has them: macOS stores the accents of folders' names apart)
    composed = [normalize("NFC", name) for name in classes]
    return Choice(np.searchsorted(present, raw.labels), composed)


def chosen(every: Choice, names: list[str] | None) -> tuple[Choice, Choice]:
    """Return the classes of these names (None: all), and the others.

    Raises:
        InputError: There is no such class; says which there are.
    """
    known("class in data.classes", names or [], every.classes)
    wanted = np.array([names is None or name in names for name in every.classes])
    return _those(every, wanted), _those(every, ~wanted)


def _those(every: Choice, wanted: NDArray[np.bool_]) -> Choice:
    number = np.where(wanted, np.cumsum(wanted) - 1, -1)
    classes = [every.classes[label] for label in np.flatnonzero(wanted)]
    return Choice(number[every.labels], classes)


def long_tail(
    choice: Choice, rows: Rows, cap: int | None, factor: float | None, seed: int
) -> dict[str, int]:
    """Return how many images of each class a long tail keeps.

    The c-th of C classes, in an order drawn by the seed, has ``n_max * factor^(-c / (C - 1))``,
    rounded down, where n_max is the number of images of the smallest class, so that no class has
    too few (Cui et al. 2019; there, and in Cao et al. 2019, all classes are of one size).

    Args:
        choice: The classes.
        rows: The training images.
        cap: At most so many of each class are there to choose from; None: all.
        factor: Of the largest to the smallest class; None: no tail.
        seed: Of the order.

    Returns:
        A number by the name of each class, the largest first; empty where ``factor`` is None.

    Raises:
        InputError: The smallest class would have too few.
    """
    if factor is None:
        return {}
    classes, counts = choice.classes, choice.counts(rows)
    largest = min(int(counts.min()), cap or len(rows))
    order = np.random.default_rng([seed, 2]).permutation(len(classes))
    exact = largest * factor ** (-np.arange(len(classes)) / (len(classes) - 1))
    kept = np.floor(exact + 1e-9).astype(int)  # (50 is not to become 49 by a rounding)
    if kept[-1] < FEWEST:
        most = f"the factor can be {largest / FEWEST:g} at most"
        none = "none has a tail; give data.imbalance_factor=null, or more images of a class"
        raise InputError(
            f"data.imbalance_factor: {factor:g} given; class {classes[order[-1]]!r} would keep "
            f"{kept[-1]} of its training images, {FEWEST} are needed: the smallest class has "
            f"{largest}, so {most if largest > FEWEST else none}"
        )
    return {classes[number]: int(count) for number, count in zip(order, kept, strict=True)}


def capped(choice: Choice, rows: Rows, cap: int | None, tail: Mapping[str, int], seed: int) -> Rows:
    """Return at most so many random images of each class, ascending.

    Args:
        choice: All classes: which images of one stay depends on no choice of others.
        rows: Images.
        cap: Of each; None: all.
        tail: Of each by its name, where there is a long tail.
        seed: Of which; those of a smaller cap are among those of a larger one.
    """
    if cap is None and not tail:
        return rows
    rng = np.random.default_rng([seed, 0])
    labels = choice.labels[rows]
    kept = [
        rng.permutation(np.flatnonzero(labels == label))[: tail.get(choice.classes[label], cap)]
        for label in np.unique(labels)
    ]
    places: Rows = np.sort(np.concatenate(kept))
    return rows[places]


def at(images: NDArray[np.uint8], rows: Rows) -> NDArray[np.uint8]:
    """Return the images at ascending rows, without a copy where they lie side by side."""
    side_by_side = len(rows) and rows[-1] - rows[0] == len(rows) - 1
    part = slice(rows[0], rows[-1] + 1) if side_by_side else rows
    return np.ascontiguousarray(images[part])


def check_classes(choice: Choice, parts: Mapping[str, Rows]) -> None:
    """Refuse classes that make no triplets, or are not tested.

    Raises:
        InputError: A single class, a class of a single training image, or no test image at all.
    """
    classes, counts = choice.classes, choice.counts(parts["train"])
    if len(classes) < 2:
        raise InputError(f"a single class, {classes[0]!r}: a triplet needs images of two")
    if counts.min() < FEWEST:
        name = classes[int(counts.argmin())]
        raise InputError(
            f"class {name!r} has {counts.min()} training image: a triplet needs two of a class "
            "(its anchor and its positive); add images, or remove the class"
        )
    if not len(choice.among(parts["test"])):
        raise InputError(
            f"data.classes: none of {one_of(classes)} has a test image; choose others as well, or "
            "add test images"
        )
