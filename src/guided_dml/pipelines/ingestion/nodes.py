"""Checking, capping and splitting labelled images."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from guided_dml.errors import InputError
from guided_dml.parameters import ComputeParameters, DataParameters
from guided_dml.types import LabelledImages, Tensors


def prepare_images(
    raw_train: LabelledImages, raw_test: LabelledImages, data: DataParameters, split_seed: int
) -> tuple[Tensors, Tensors, list[str], dict[str, Any]]:
    """Check both parts, cap their classes and number the classes alike.

    Args:
        raw_train: As read.
        raw_test: As read.
        data: The cap.
        split_seed: Seed of the choice that the cap makes.

    Returns:
        The training and the test set, each ``images`` uint8 ``[N, C, H, W]`` and ``labels``
        int64 ``[N]``; the class names; and a report of what was read and kept.

    Raises:
        InputError: The data cannot be learned from; names the part and the class.
    """
    import torch

    for name, part in (("training set", raw_train), ("test set", raw_test)):
        _check_images(name, part)
    train, test, classes = _numbered_alike(raw_train, raw_test)
    kept, report = {}, dict[str, Any]()
    for name, raw, labels in (("train", raw_train, train), ("test", raw_test, test)):
        rows = _capped(labels, data.images_per_class, split_seed)
        images = raw.images if len(rows) == len(labels) else raw.images[rows]  # (all: no copy)
        kept[name] = {
            "images": torch.from_numpy(np.ascontiguousarray(images)),
            "labels": torch.from_numpy(labels[rows]),
        }
        counts = np.bincount(labels[rows], minlength=len(classes)).tolist()
        report[name] = raw.facts | {
            "images_read": len(labels),
            "images": len(rows),
            "images_of_class": dict(zip(classes, counts, strict=True)),
        }
    _check_classes(kept["train"]["labels"].numpy(), classes)
    shape = list(raw_train.images.shape[1:])
    made_with = {"data": data.model_dump(), "split_seed": split_seed}
    report = {"image_shape": shape, **report, "parameters": made_with}
    return kept["train"], kept["test"], classes, report


def split_training_set(train_images: Tensors, data: DataParameters, split_seed: int) -> Tensors:
    """Hold a stratified share of the training set out for validation.

    Args:
        train_images: The training set.
        data: The share; 0 uses every image for training.
        split_seed: Seed of the split, which is not the run's seed.

    Returns:
        ``train`` and ``validation``, int64 indices into the training set, ascending. Every class
        keeps at least two images in ``train`` and, where it has more, has at least one in
        ``validation``.
    """
    import torch

    rng = np.random.default_rng([split_seed, 1])
    labels = train_images["labels"].numpy()
    held_out = np.zeros(len(labels), bool)
    if data.validation_share:
        for label in np.unique(labels):
            rows = np.flatnonzero(labels == label)
            count = min(max(1, round(data.validation_share * len(rows))), len(rows) - 2)
            held_out[rng.choice(rows, count, replace=False)] = True
    return {
        "train": torch.from_numpy(np.flatnonzero(~held_out)),
        "validation": torch.from_numpy(np.flatnonzero(held_out)),
    }


def fit_normalisation(train_images: Tensors, split: Tensors) -> dict[str, list[float]]:
    """Measure mean and standard deviation of each channel over ``split.train``.

    Returns:
        ``mean`` and ``std``, a value per channel in grey levels of 0-255.
    """
    images = train_images["images"]
    levels = np.arange(256)
    # From histograms: exact, and without a float copy of the images.
    counts = np.zeros((images.shape[1], 256), np.int64)
    for rows in split["train"].split(1024):
        for channel, count in zip(images[rows].numpy().swapaxes(0, 1), counts, strict=True):
            count += np.bincount(channel.ravel(), minlength=256)
    statistics: dict[str, list[float]] = {"mean": [], "std": []}
    for count in counts:
        shares = count / count.sum()
        mean = float(shares @ levels)
        deviation = float(np.sqrt(shares @ (levels - mean) ** 2))
        statistics["mean"].append(mean)
        statistics["std"].append(deviation or 1.0)  # (a constant channel says nothing)
    return statistics


def score_raw_pixels(
    train_images: Tensors, test_images: Tensors, compute: ComputeParameters
) -> dict[str, float]:
    """Score a 1-nearest-neighbour classifier on the bare pixels: what any embedding has to beat.

    Returns:
        ``recall_at_1`` (macro) and ``accuracy`` of the test set against all training images.
    """
    from guided_dml.metrics.neighbours import nearest
    from guided_dml.training.policy import Policy

    device = Policy.of(compute).device
    query, reference = (
        part["images"].flatten(1).to(device) for part in (test_images, train_images)
    )
    found = nearest(query, reference, k=1)[:, 0].cpu()
    right = train_images["labels"][found] == test_images["labels"]
    recalls = [
        right[test_images["labels"] == label].double().mean()
        for label in test_images["labels"].unique()
    ]
    return {
        "recall_at_1": float(sum(recalls) / len(recalls)),
        "accuracy": float(right.double().mean()),
    }


def _check_images(name: str, part: LabelledImages) -> None:
    if part.images.dtype != np.uint8:
        raise InputError(f"{name}: images are {part.images.dtype}; uint8 (0-255) is needed")
    if part.images.ndim != 4 or part.images.shape[1] not in (1, 3) or not part.images.size:
        raise InputError(
            f"{name}: images have shape {part.images.shape}; "
            "[N, C, H, W] with C 1 (grey) or 3 (colour) and N > 0 is needed"
        )
    if part.labels.shape != (len(part.images),):
        raise InputError(
            f"{name}: {len(part.images)} images, but {part.labels.size} labels; one each is needed"
        )
    lowest, highest = part.labels.min(), part.labels.max()
    if lowest < 0 or highest >= len(part.classes):
        raise InputError(
            f"{name}: labels from {lowest} to {highest}; 0 to {len(part.classes) - 1} are allowed, "
            "indices into its classes"
        )


def _numbered_alike(
    train: LabelledImages, test: LabelledImages
) -> tuple[NDArray[np.int64], NDArray[np.int64], list[str]]:
    """Return both parts' labels as indices into one list, the training set's classes."""
    if train.images.shape[1:] != test.images.shape[1:]:
        raise InputError(
            f"the training images are {train.images.shape[1:]} (channels, height, width), the "
            f"test images {test.images.shape[1:]}; convert them to one shape"
        )
    names = [np.array(part.classes)[part.labels] for part in (train, test)]
    # In the reader's order, without classes that have no training image.
    classes = [name for name in train.classes if name in set(names[0].tolist())]
    unseen = sorted(set(names[1].tolist()) - set(classes))
    if unseen:
        raise InputError(
            f"the test set has classes without a training image: {', '.join(unseen)}; remove "
            "them there, or add training images"
        )
    place = {name: label for label, name in enumerate(classes)}
    ours, theirs = (np.array([place[n] for n in some.tolist()], np.int64) for some in names)
    return ours, theirs, classes


def _capped(labels: NDArray[np.int64], cap: int | None, seed: int) -> NDArray[np.int64]:
    """Return the indices of at most ``cap`` random images of each class, ascending."""
    if cap is None:
        return np.arange(len(labels))
    rng = np.random.default_rng([seed, 0])
    of_class = (rng.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels))
    return np.sort(np.concatenate([rows[:cap] for rows in of_class]))


def _check_classes(labels: NDArray[np.int64], classes: list[str]) -> None:
    if len(classes) < 2:
        raise InputError(f"a single class, {classes[0]!r}: a triplet needs images of two")
    counts = np.bincount(labels)
    if counts.min() < 2:
        name = classes[int(counts.argmin())]
        raise InputError(
            f"class {name!r} has {counts.min()} training image: a triplet needs two of a class "
            "(its anchor and its positive); add images, or remove the class"
        )
