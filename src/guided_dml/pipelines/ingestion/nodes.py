"""From labelled images to what a network is trained and tested on."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from guided_dml.blocks import ComputeParameters
from guided_dml.inference.images import printable
from guided_dml.pipelines.ingestion.checks import check_images
from guided_dml.pipelines.ingestion.choosing import (
    Choice,
    Rows,
    at,
    capped,
    check_classes,
    chosen,
    long_tail,
    numbered,
    split,
)
from guided_dml.types import LabelledImages, Tensors


class Prepared(NamedTuple):
    """What the ingestion makes of the images.

    Attributes:
        train_images: ``images`` uint8 ``[N, C, H, W]`` and ``labels`` int64 ``[N]``.
        test_images: The same.
        image_names: By ``train`` and ``test`` a name for each of their images.
        classes: Their names.
        data_report: What was read and kept.
        unseen_train_images: Of the classes that are not trained on; there may be none.
        unseen_test_images: The same.
        unseen_classes: Their names.
    """

    train_images: Tensors
    test_images: Tensors
    image_names: dict[str, list[str]]
    classes: list[str]
    data_report: dict[str, Any]
    unseen_train_images: Tensors
    unseen_test_images: Tensors
    unseen_classes: list[str]


def prepare_images(
    raw_images: LabelledImages,
    test_share: float,
    images_per_class: int | None,
    classes: list[str] | None,
    imbalance_factor: float | None,
    split_seed: int,
) -> Prepared:
    """Check the images, split off a test set, choose, cap and number the classes.

    Args:
        raw_images: As read.
        test_share: Share of the images that is the test set, where the source has none; which
            images these are does not depend on ``classes``.
        images_per_class: At most so many of each are kept, in training and in test; None: all.
        classes: Names of those to train on, the others are unseen; None: all.
        imbalance_factor: Makes a long tail of the training images; None: leaves them as they are.
        split_seed: Seed of the split, of the tail's order, and of which images of a class stay.

    Raises:
        InputError: The data cannot be learned from; says why.
    """
    check_images(raw_images)
    parts = split(raw_images, test_share, split_seed)
    every = numbered(raw_images, parts)
    known, unseen = chosen(every, classes)
    check_classes(known, parts)
    tail = long_tail(known, parts["train"], images_per_class, imbalance_factor, split_seed)
    drawn = {
        "train": capped(every, parts["train"], images_per_class, tail, split_seed),
        "test": capped(every, parts["test"], images_per_class, {}, split_seed),
    }
    kept, others = (
        {part: choice.among(rows) for part, rows in drawn.items()} for choice in (known, unseen)
    )
    facts = raw_images.facts
    report = {
        **facts,
        "fingerprint": facts.get("fingerprint") or raw_images.fingerprint(),
        "image_shape": list(raw_images.images.shape[1:]),
        **_counted(raw_images, parts, known, kept),
        **({"unseen": _counted(raw_images, parts, unseen, others)} if unseen.classes else {}),
        **({"long_tail": tail} if tail else {}),
        "parameters": {
            "test_share": test_share,
            "images_per_class": images_per_class,
            "classes": classes,
            "imbalance_factor": imbalance_factor,
            "split_seed": split_seed,
        },
    }
    names = {
        part: [printable(raw_images.names[row]) for row in rows] for part, rows in kept.items()
    }
    train, test = (_stored(raw_images, known, rows) for rows in kept.values())
    unseen_train, unseen_test = (_stored(raw_images, unseen, rows) for rows in others.values())
    return Prepared(
        train, test, names, known.classes, report, unseen_train, unseen_test, unseen.classes
    )


def _stored(raw: LabelledImages, choice: Choice, rows: Rows) -> Tensors:
    import torch

    images, labels = at(raw.images, rows), choice.labels[rows]
    return {"images": torch.from_numpy(images), "labels": torch.from_numpy(labels)}


def _counted(
    raw: LabelledImages, parts: dict[str, Rows], choice: Choice, kept: dict[str, Rows]
) -> dict[str, Any]:
    """Return for each part how many images of these classes were read, kept and changed."""
    return {
        part: {
            "images_read": len(choice.among(parts[part])),
            "images": len(rows),
            "images_of_class": dict(zip(choice.classes, choice.counts(rows).tolist(), strict=True)),
            **{change: int(where[rows].sum()) for change, where in raw.changed.items()},
        }
        for part, rows in kept.items()
    }


def split_training_set(train_images: Tensors, validation_share: float, split_seed: int) -> Tensors:
    """Hold a stratified share of the training set out for validation.

    Args:
        train_images: The training set.
        validation_share: 0 uses every image for training.
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
    if validation_share:
        for label in np.unique(labels):
            rows = np.flatnonzero(labels == label)
            count = min(max(1, round(validation_share * len(rows))), len(rows) - 2)
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
        # (in whole numbers: sums of floats end otherwise from one processor to the next)
        number, total, squares = (int((count * levels**power).sum()) for power in range(3))
        deviation = math.sqrt((number * squares - total**2) / number**2)
        statistics["mean"].append(total / number)
        statistics["std"].append(deviation or 1.0)  # (a constant channel says nothing)
    return statistics


def score_raw_pixels(
    train_images: Tensors, test_images: Tensors, compute: ComputeParameters
) -> dict[str, float]:
    """Score a 1-nearest-neighbour classifier on the bare pixels: what any embedding has to beat.

    Returns:
        ``recall_at_1`` (macro) and ``accuracy`` of the test set against all training images.
    """
    from sklearn.metrics import recall_score

    from guided_dml.metrics.neighbours import nearest
    from guided_dml.training.policy import Policy

    device = Policy.of(compute).device
    query, reference = (
        part["images"].flatten(1).to(device) for part in (test_images, train_images)
    )
    found = train_images["labels"][nearest(query, reference, k=1)[:, 0].cpu()].numpy()
    truth = test_images["labels"].numpy()
    recall = recall_score(truth, found, labels=np.unique(truth), average="macro")
    return {"recall_at_1": float(recall), "accuracy": float((found == truth).mean())}
