"""Judging the labels by networks that have not seen them, and finding duplicates."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from guided_dml.blocks import (
    AuditParameters,
    ComputeParameters,
    GeminiParameters,
    StudentParameters,
    TripletParameters,
)
from guided_dml.methods import METHODS
from guided_dml.pipelines.audit.findings import Findings
from guided_dml.pipelines.audit.folds import check_size, features_of, train_on_others
from guided_dml.types import Checkpoints, Table, Tensors

logger = logging.getLogger(__name__)

#: In which space an image's neighbours vote: before its network's last layer, and without any.
VOTERS = ("by_features", "by_pixels")

#: Neighbours of a suspect that the page shows, at most: its pictures are one sheet.
SHOWN_NEIGHBOURS = 50


def find_duplicate_images(
    train_images: Tensors, test_images: Tensors, audit: AuditParameters, compute: ComputeParameters
) -> Tensors:
    """Group images of both sets that are the same, or nearly.

    Args:
        train_images: The training set.
        test_images: The test set.
        audit: What counts as near.
        compute: Where to search.

    Returns:
        As :func:`guided_dml.metrics.duplicates.find_duplicates`, the training images first.
    """
    from guided_dml.metrics.duplicates import find_duplicates
    from guided_dml.training.policy import Policy

    images = [part["images"] for part in (train_images, test_images)]
    device = Policy.of(compute).device
    return find_duplicates(images, audit.neighbours, audit.near, device)


def find_label_neighbours(
    train_images: Tensors,
    test_images: Tensors,
    classes: list[str],
    triplets: TripletParameters,
    gemini: GeminiParameters,
    student: StudentParameters,
    settings: dict[str, Any],
    raw_pixel_training: bool,
    batch_size: int,
    audit: AuditParameters,
    compute: ComputeParameters,
    seed: int,
    split_seed: int,
    checkpoints: Checkpoints,
    *,
    method: str,
) -> Tensors:
    """Find who votes on each label: neighbours that the image's network has learned from.

    The images of both sets are dealt out to folds. For each fold a network is trained (its teacher
    too) on the training images of the others. So no network, and no neighbour, knows the label
    that is judged.

    Args:
        train_images: The training set.
        test_images: The test set.
        classes: Their names.
        triplets: Of a teacher.
        gemini: A teacher's architecture and optimiser.
        student: A network's architecture and optimiser.
        settings: The method's block of parameters.
        raw_pixel_training: Whether to train on 0-255 pixels.
        batch_size: Images that are embedded at once.
        audit: How many folds and neighbours.
        compute: Where to compute.
        seed: The run's seed.
        split_seed: Seed of the folds.
        checkpoints: Where a killed training goes on from.
        method: Its name.

    Returns:
        ``fold`` int64 ``[N]``, training images first; ``by_features`` and ``by_pixels`` int64
        ``[N, k]``, indices into the training set, nearest first: in the features before the
        network's last layer, and in raw pixels.

    Raises:
        InputError: There are too few images for so many folds or neighbours.
    """
    import torch

    from guided_dml.metrics.duplicates import shrunk
    from guided_dml.metrics.label_issues import assign_folds
    from guided_dml.metrics.neighbours import nearest
    from guided_dml.training.policy import Policy
    from guided_dml.training.train import check_student

    check_size(train_images["labels"].numpy(), classes, audit)
    objective = METHODS[method].model_validate(settings)
    check_student(train_images["images"].shape[1:], student, [objective])
    sets, device = (train_images, test_images), Policy.of(compute).device
    train, test = (
        torch.from_numpy(assign_folds(part["labels"].numpy(), audit.folds, split_seed))
        for part in sets
    )
    pixels = [shrunk(part["images"]) for part in sets]
    fold = torch.cat([train, test])
    found = {name: fold.new_empty(len(fold), audit.neighbours) for name in VOTERS}
    what = (classes, triplets, gemini, student, settings)
    how = (raw_pixel_training, compute, seed, checkpoints, method)
    for number in range(audit.folds):
        logger.info("fold %d of %d", number + 1, audit.folds)
        learned, held_out, tested = (
            torch.where(part)[0] for part in (train != number, train == number, test == number)
        )
        split = {"train": learned, "validation": held_out}
        weights, card = train_on_others(train_images, split, *what, *how)
        images = [train_images["images"], test_images["images"][tested]]
        features = features_of(weights, card, images, raw_pixel_training, batch_size, compute)
        spaces = (features, [pixels[0], pixels[1][tested]])
        for name, (known, unknown) in zip(VOTERS, spaces, strict=True):
            query = torch.cat([known[held_out], unknown]).to(device)
            rows = nearest(query, known[learned].to(device), audit.neighbours).cpu()
            found[name][fold == number] = learned[rows]
    return {"fold": fold, **found}


def list_findings(
    train_images: Tensors,
    test_images: Tensors,
    image_names: dict[str, list[str]],
    classes: list[str],
    label_neighbours: Tensors,
    duplicates: Tensors,
    audit: AuditParameters,
) -> tuple[Table, dict[str, float]]:
    """List every image with what was found of it, and count the findings.

    Returns:
        A row an image, likely wrong labels first (docs/audit.md has the columns); and the counts.
    """
    found = Findings.of(
        train_images, test_images, image_names, label_neighbours, duplicates, audit.majority
    )
    return found.table(classes), found.scores()


def write_audit_page(
    train_images: Tensors,
    test_images: Tensors,
    image_names: dict[str, list[str]],
    classes: list[str],
    label_neighbours: Tensors,
    duplicates: Tensors,
    audit: AuditParameters,
    run: str,
) -> str:
    """Return a self-contained HTML page to look through the findings."""
    from guided_dml.figures.audit_page import Copies, Picture, Suspect, audit_page

    found = Findings.of(
        train_images, test_images, image_names, label_neighbours, duplicates, audit.majority
    )
    train, test = train_images["images"], test_images["images"]

    def picture(row: int) -> Picture:
        label = classes[found.given[row]]
        return Picture(row, found.names[row], label, bool(found.test[row]))

    def image(row: int) -> NDArray[np.uint8]:
        part = train[row] if row < len(train) else test[row - len(train)]
        pixels: NDArray[np.uint8] = part.numpy()
        return pixels

    suspects = [
        Suspect(
            picture(row),
            classes[found.features.suggested[row]],
            found.features.score[row],
            found.pixels.score[row],
            [picture(other) for other in found.neighbours[row, :SHOWN_NEIGHBOURS].tolist()],
        )
        for row in found.order[: found.issue.sum()].tolist()
    ]
    groups = [Copies([picture(row) for row in group.rows], *group[1:]) for group in found.groups]
    return audit_page(suspects, groups, image, f"{run}: audit of the data", found.notes(audit))
