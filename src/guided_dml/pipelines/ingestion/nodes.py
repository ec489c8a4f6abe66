"""Checking, capping and splitting labelled images."""

from __future__ import annotations

from typing import Any
from unicodedata import category, normalize

import numpy as np
from numpy.typing import NDArray

from guided_dml.blocks import ComputeParameters
from guided_dml.errors import InputError
from guided_dml.inference.images import printable
from guided_dml.types import LabelledImages, Tensors

Rows = NDArray[np.int64]

#: Unicode's control characters, halves of characters (what is no UTF-8), breaks of lines.
UNPRINTABLE = {"Cc", "Cs", "Zl", "Zp"}


def prepare_images(
    raw_images: LabelledImages, test_share: float, images_per_class: int | None, split_seed: int
) -> tuple[Tensors, Tensors, dict[str, list[str]], list[str], dict[str, Any]]:
    """Check the images, split off a test set, cap the classes and number them.

    Args:
        raw_images: As read.
        test_share: Share of the images that is the test set, where the source has none.
        images_per_class: At most so many of each are kept, in training and in test; None: all.
        split_seed: Seed of the split, and of the choice that the cap makes.

    Returns:
        The training and the test set, each ``images`` uint8 ``[N, C, H, W]`` and ``labels``
        int64 ``[N]``; by ``train`` and ``test`` a name for each of their images; the class
        names; and a report of what was read and kept.

    Raises:
        InputError: The data cannot be learned from; says why.
    """
    import torch

    _check_images(raw_images)
    parts = _parts(raw_images, test_share, split_seed)
    labels, classes = _numbered(raw_images, *parts)
    kept, names, report = [], {}, {}
    for name, part in zip(("train", "test"), parts, strict=True):
        rows = part[_capped(labels[part], images_per_class, split_seed)]
        images = torch.from_numpy(_at(raw_images.images, rows))
        kept.append({"images": images, "labels": torch.from_numpy(labels[rows])})
        names[name] = [printable(raw_images.names[row]) for row in rows]
        counts = np.bincount(labels[rows], minlength=len(classes)).tolist()
        report[name] = {
            "images_read": len(part),
            "images": len(rows),
            "images_of_class": dict(zip(classes, counts, strict=True)),
            **{change: int(where[rows].sum()) for change, where in raw_images.changed.items()},
        }
    _check_classes(kept[0]["labels"].numpy(), classes)
    facts = raw_images.facts
    described = {
        **facts,
        "fingerprint": facts.get("fingerprint") or raw_images.fingerprint(),
        "image_shape": list(raw_images.images.shape[1:]),
        **report,
        "parameters": {
            "test_share": test_share,
            "images_per_class": images_per_class,
            "split_seed": split_seed,
        },
    }
    return kept[0], kept[1], names, classes, described


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


def _check_images(raw: LabelledImages) -> None:
    images, labels, count = raw.images, raw.labels, len(raw.images)
    if images.dtype != np.uint8:
        raise InputError(f"raw_images: images are {images.dtype}; uint8 (0-255) is needed")
    if images.ndim != 4 or images.shape[1] not in (1, 3) or not images.size:
        raise InputError(
            f"raw_images: images have shape {images.shape}; "
            "[N, C, H, W] with C 1 (grey) or 3 (colour) and N > 0 is needed"
        )
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise InputError(
            f"raw_images: {count} images, but {labels.size} labels ({labels.dtype}); "
            "an integer each is needed"
        )
    if labels.min() < 0 or labels.max() >= len(raw.classes):
        raise InputError(
            f"raw_images: labels from {labels.min()} to {labels.max()}; 0 to "
            f"{len(raw.classes) - 1} are allowed, indices into its classes"
        )
    for what, values in {"names": raw.names, "test": raw.test, **raw.changed}.items():
        if values is not None and len(values) != count:
            raise InputError(
                f"raw_images: {count} images, but {len(values)} values of {what!r}; "
                "one each is needed"
            )


def _parts(raw: LabelledImages, test_share: float, seed: int) -> tuple[Rows, Rows]:
    """Return the ascending rows of the training and of the test part."""
    from sklearn.model_selection import train_test_split

    rows, labels = np.arange(len(raw.labels)), raw.labels
    if raw.test is not None:
        return rows[~raw.test], rows[raw.test]
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
    return train, test


def _numbered(raw: LabelledImages, train: Rows, test: Rows) -> tuple[Rows, list[str]]:
    """Return the labels as indices into the names of the classes that have training images."""
    for name, rows in (("training", train), ("test", test)):
        if not len(rows):
            raise InputError(f"raw_images: none of {len(raw.labels)} images is a {name} image")
    present = np.unique(raw.labels[train])
    unseen = np.setdiff1d(raw.labels[test], present)
    if len(unseen):
        raise InputError(
            "the test set has classes without a training image: "
            f"{', '.join(str(raw.classes[label]) for label in unseen)}; remove them there, or add "
            "training images"
        )
    classes = [raw.classes[label] for label in present]
    _check_names(classes)
    return np.searchsorted(present, raw.labels), classes


def _check_names(classes: list[str]) -> None:
    """Refuse names that cannot be stored as text, or that a reader cannot tell apart."""
    seen = dict[str, str]()
    for name in classes:
        if not isinstance(name, str):
            raise InputError(f"class {name!r}: its name is no text")
        letters = "".join(letter for letter in normalize("NFC", name) if category(letter) != "Cf")
        looks = " ".join(letters.split())
        if not looks or {category(letter) for letter in name} & UNPRINTABLE:
            raise InputError(
                f"class {name!a}: its name is blank, not UTF-8, or has control characters; "
                "rename it"
            )
        if looks in seen:
            raise InputError(
                f"two classes look the same, {name!r}: {seen[looks]!a} and {name!a}; "
                "rename one, or put their images together"
            )
        seen[looks] = name


def _at(images: NDArray[np.uint8], rows: Rows) -> NDArray[np.uint8]:
    """Return the images at ascending rows, without a copy where they lie side by side."""
    side_by_side = rows[-1] - rows[0] == len(rows) - 1
    chosen = slice(rows[0], rows[-1] + 1) if side_by_side else rows
    return np.ascontiguousarray(images[chosen])


def _capped(labels: Rows, cap: int | None, seed: int) -> Rows:
    """Return the indices of at most ``cap`` random images of each class, ascending."""
    if cap is None:
        return np.arange(len(labels))
    rng = np.random.default_rng([seed, 0])
    of_class = (rng.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels))
    return np.sort(np.concatenate([rows[:cap] for rows in of_class]))


def _check_classes(labels: Rows, classes: list[str]) -> None:
    if len(classes) < 2:
        raise InputError(f"a single class, {classes[0]!r}: a triplet needs images of two")
    counts = np.bincount(labels)
    if counts.min() < 2:
        name = classes[int(counts.argmin())]
        raise InputError(
            f"class {name!r} has {counts.min()} training image: a triplet needs two of a class "
            "(its anchor and its positive); add images, or remove the class"
        )
