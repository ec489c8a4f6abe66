"""Choices of classes to train on, so that the others are unseen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from guided_dml.comparison.plan import pin, prepare
from guided_dml.comparison.sessions import Nested, merged, session
from guided_dml.errors import InputError, known
from guided_dml.parameters import validated
from guided_dml.robustness.names import class_splits_for
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
    with session(project, data_set, overrides) as (_, context):
        own = validated(context.config_loader["parameters"]).data.classes or []
    # (all classes, and all images of them: the tail is that of those chosen)
    every = merged(
        overrides, {"tracking": False, "data": {"classes": None, "imbalance_factor": None}}
    )
    version = prepare(project, data_set, every)
    with session(project, data_set, every) as (_, context):
        catalog = context.catalog
        pin(catalog, version)
        labels = catalog.load("test_images")["labels"].numpy()
        found = choices(splits, data_set, catalog.load("classes"), labels)
    # (the environment's own choice stays as it is: in another order it would be another one)
    found = [own if set(own) == set(names) else names for names in found]
    return [{"data": {"classes": names}} for names in found]


def choices(
    splits: Sequence[str], data_set: str, classes: list[str], labels: NDArray[np.int64]
) -> list[list[str]]:
    """Return the names of the classes in each choice; the same ones are chosen once.

    They stand in the order of the literature's split of the same classes, if there is one, else of
    all classes: in another order they would be another comparison.

    Args:
        splits: Digits, each the number of one of up to ten classes, or names or numbers joined by
            ``+``.
        data_set: Whose classes.
        classes: All names.
        labels: Of all test images.

    Raises:
        InputError: There is no such class, too few are chosen or left, or those left have too few
            test images.
    """
    known_splits = class_splits_for(data_set, classes) if len(classes) == 10 else []
    listed = [_split(split, classes) for split in known_splits]
    orders = {frozenset(names): names for names in listed}
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
        of_all = sorted(names, key=classes.index)
        found[frozenset(names)] = orders.get(frozenset(names), of_all)
    return [*found.values()]


def _split(split: str, classes: list[str]) -> list[str]:
    if split.isdecimal() and split not in classes:
        if len(classes) > 10:
            raise InputError(
                f"--class-splits {split}: a digit stands for one of 10 classes, and there are "
                f"{len(classes)}; name them, like {classes[0]}+{classes[1]}"
            )
        names = [_named(number, split, classes) for number in split]
    else:
        names = [_named(part, split, classes) for part in split.split("+")]
    if len(names) < 2 or len(set(names)) < len(names):
        raise InputError(f"--class-splits {split}: at least 2 classes are needed, each named once")
    return names


def _named(part: str, split: str, classes: list[str]) -> str:
    """Return the class of that name, or of that number."""
    if part not in classes and part.isdecimal():
        known(f"class number in --class-splits {split}", [part], map(str, range(len(classes))))
        return classes[int(part)]
    known(f"class in --class-splits {split}", [part], classes)
    return part
