"""Scores on classes that the network has never seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from guided_dml.errors import InputError
from guided_dml.metrics.clustering import nmi
from guided_dml.metrics.distances import slices
from guided_dml.metrics.retrieval import retrieval_scores
from guided_dml.robustness.detection import detection_scores
from guided_dml.robustness.scorer import Scorer
from guided_dml.seeding import derived_seed
from guided_dml.types import Tensors

Integers = NDArray[np.int64]

#: Classes of an episode; fewer where there are fewer.
WAYS = 4

SHOTS = (1, 2, 5, 10)

#: Queries of each class of an episode.
QUERIES = 15

#: Bytes that the images of a part of the episodes may take.
PART_BYTES = 64_000_000


def open_set_scores(
    reference: Tensors, query: Tensors, unseen: Tensor, split: Tensors, head: Tensors | None = None
) -> dict[str, float]:
    """Score how well images of unseen classes are told from test images of the known ones.

    Args:
        reference: The training images: ``embeddings`` ``[N, D]`` and ``labels`` int64 ``[N]``.
        query: The test images of the known classes, likewise: the ID side.
        unseen: Embeddings ``[M, D]`` of the test images of the unseen classes.
        split: ``train``, int64 rows of the references.
        head: ``weight`` ``[C, D]`` and ``bias`` ``[C]``, of a softmax only.

    Returns:
        ``<figure>_<score>``, as :func:`~guided_dml.robustness.ood.ood_scores` of one set.

    Raises:
        InputError: There are no images of unseen classes.
    """
    _check(len(unseen), 1)
    scorer = Scorer(reference, split["train"], head)
    return detection_scores(scorer(query["embeddings"]).scores, scorer(unseen).scores)


def unseen_retrieval_scores(reference: Tensors, query: Tensors, seed: int) -> dict[str, float]:
    """Score retrieval among the unseen classes alone.

    Args:
        reference: Their training images: ``embeddings`` ``[N, D]`` and ``labels`` int64 ``[N]``.
        query: Their test images, likewise.
        seed: Of the starts of k-means.

    Returns:
        ``recall_at_1``, ``map_at_r`` and ``nmi`` of the queries.

    Raises:
        InputError: There are no images, or a query's class has no reference.
    """
    _check(len(query["labels"]), 1)
    _check(len(reference["labels"]), 1)
    parts = (part[key] for part in (query, reference) for key in ("embeddings", "labels"))
    found = retrieval_scores(*parts)
    scores = {name: found[name] for name in ("recall_at_1", "map_at_r")}
    return scores | {"nmi": nmi(query["embeddings"], query["labels"], seed=seed % 2**32)}


def few_shot_scores(query: Tensors, episodes: int, seed: int) -> dict[str, float]:
    """Classify by the nearest centroid of a few images (Snell, Swersky and Zemel 2017, L2).

    An episode has 4 of the classes (or as many as there are), of each 15 queries and before them
    as many images as there are shots; of equally near centroids the first counts.

    Args:
        query: Test images of unseen classes: ``embeddings`` ``[N, D]`` and ``labels`` ``[N]``.
        episodes: How many; they depend on labels and seed only, so all methods have the same.
        seed: Of the episodes.

    Returns:
        ``accuracy_<shots>_shot`` for 1, 2, 5 and 10, as far as each class has so many more images
        than queries: means over all queries of all episodes.

    Raises:
        InputError: There are fewer than two classes, or a class has fewer than 16 images.
    """
    labels = query["labels"].cpu().numpy()
    shots = possible_shots(labels)
    rows = draw_episodes(labels, shots[-1] + QUERIES, episodes, seed)
    points = query["embeddings"].cpu().double().numpy()
    points = points - points[0]  # (the same point for all is then zero: nothing is rounded)
    right = dict.fromkeys(shots, 0)
    for at in slices(episodes, 8 * rows[0].size * points.shape[1], PART_BYTES):
        some = points[rows[at]]
        asked = some[:, :, :QUERIES]
        for count in shots:
            centroids = some[:, :, QUERIES : QUERIES + count].mean(2)
            right[count] += _right(asked, centroids)
    asked_for = episodes * rows.shape[1] * QUERIES
    return {f"accuracy_{count}_shot": right[count] / asked_for for count in shots}


def possible_shots(labels: Integers) -> Sequence[int]:
    """Return how many images an episode can show of each class.

    Raises:
        InputError: There are fewer than two classes, or a class has too few images.
    """
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2:
        raise InputError(
            f"few-shot episodes need test images of at least 2 unseen classes; there are "
            f"{len(classes)}: hold more classes out with data.classes"
        )
    _check(int(counts.min()), QUERIES + SHOTS[0])
    return [count for count in SHOTS if count + QUERIES <= counts.min()]


def draw_episodes(labels: Integers, images: int, episodes: int, seed: int) -> Integers:
    """Draw classes, and images of each without repetition.

    Args:
        labels: int64 ``[N]``, of at least two classes.
        images: Of a class of an episode; every class has as many.
        episodes: E.
        seed: Of the draws.

    Returns:
        int64 ``[E, W, images]``, rows of ``labels`` with W = 4, or fewer where there are fewer
        classes.
    """
    rng, classes = np.random.default_rng(derived_seed(seed, "episodes")), np.unique(labels)
    ways = min(WAYS, len(classes))
    order = rng.permuted(np.tile(np.arange(len(classes)), (episodes, 1)), axis=1)[:, :ways]
    drawn = np.empty((len(classes), episodes, images), np.int64)
    for label, places in zip(classes, drawn, strict=True):
        rows = np.flatnonzero(labels == label)
        for place in places:
            place[:] = rng.choice(rows, images, replace=False)
    chosen: Integers = drawn[order, np.arange(episodes)[:, None]]
    return chosen


def _right(asked: NDArray[np.float64], centroids: NDArray[np.float64]) -> int:
    """Return how many queries, ``[E, W, Q, D]``, are nearest to the centroid, ``[E, W, D]``."""
    episodes, ways, count, dimension = asked.shape
    products = asked.reshape(episodes, ways * count, dimension) @ centroids.swapaxes(1, 2)
    found = (np.square(centroids).sum(2)[:, None] - 2 * products).argmin(2)
    return int((found == np.arange(ways).repeat(count)).sum())


def _check(images: int, needed: int) -> None:
    if images < needed:
        raise InputError(
            f"unseen classes: {images} images found where at least {needed} of each class are "
            "needed; raise data.images_per_class, or hold out other classes with data.classes"
        )
