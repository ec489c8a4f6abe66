"""Choices of classes to train on, so that the others are unseen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from guided_dml.comparison.plan import pin, prepare
from guided_dml.comparison.sessions import Nested, merged, session
from guided_dml.errors import InputError, known
from guided_dml.robustness.unseen import possible_shots


def class_splits_of(
    project: Path, data_set: str, splits: Sequence[str], overrides: Nested
) -> list[Nested]:
    """Return parameters for each choice of classes to train on; none changes nothing.

    Args:
        project: The project's folder.
        data_set: Whose classes.
        splits: As :func:`choices` takes them.
        overrides: Parameters on top of the environment's.

    Raises:
        InputError: One of them is no choice of classes that leaves enough unseen.
    """
    if not splits:
        return [{}]
    every = merged(overrides, {"tracking": False, "data": {"classes": None}})
    version = prepare(project, data_set, every)
    with session(project, data_set, every) as (_, context):
        catalog = context.catalog
        pin(catalog, version)
        labels = catalog.load("test_images")["labels"].numpy()
        found = choices(splits, catalog.load("classes"), labels)
    return [{"data": {"classes": names}} for names in found]


def choices(
    splits: Sequence[str], classes: list[str], labels: NDArray[np.int64]
) -> list[list[str]]:
    """Return the names of the classes in each choice; the same ones are chosen once.

    Args:
        splits: Digits, each the number of one of up to ten classes, or names joined by ``+``.
        classes: All names.
        labels: Of all test images.

    Raises:
        InputError: There is no such class, too few are chosen or left, or those left have too few
            test images.
    """
    found = dict[frozenset[str], list[str]]()
    for split in splits:
        names = _split(split, classes)
        if len(classes) - len(names) < 2:
            raise InputError(
                f"--class-splits {split}: leaves {len(classes) - len(names)} of {len(classes)} "
                "classes unseen; at least 2 are needed"
            )
        try:
            possible_shots(labels[~np.isin(labels, [classes.index(name) for name in names])])
        except InputError as error:
            raise InputError(f"--class-splits {split}: {error}") from error
        found.setdefault(frozenset(names), names)
    return [*found.values()]


def _split(split: str, classes: list[str]) -> list[str]:
    if split.isdecimal() and split not in classes:
        if len(classes) > 10:
            raise InputError(
                f"--class-splits {split}: a digit stands for one of 10 classes, and there are "
                f"{len(classes)}; name them, like {classes[0]}+{classes[1]}"
            )
        known(f"class number in --class-splits {split}", split, map(str, range(len(classes))))
        names = [classes[int(number)] for number in split]
    else:
        names = split.split("+")
        known(f"class in --class-splits {split}", names, classes)
    if len(names) < 2 or len(set(names)) < len(names):
        raise InputError(f"--class-splits {split}: at least 2 classes are needed, each named once")
    return names
