"""How far is far: what distances of images that the network never learned from say.

References are the images of ``split.train``, queries those of ``split.validation``: the network
saw none of them in training, as it saw no new image.
"""

from __future__ import annotations

import logging
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from guided_dml.inference.search import Search, vote

logger = logging.getLogger(__name__)

Array = NDArray[np.float32]

#: Neighbours that vote in the table of coverage, as by default in inference.
NEIGHBOURS = 5

#: Query-reference pairs that are looked at, at most: of more queries an evenly spaced part.
PAIRS = 20_000_000

FALSE_MATCH_RATES = (0.1, 0.01, 0.001)
COVERAGES = (1.0, 0.99, 0.95, 0.9, 0.8, 0.7, 0.5)


def calibration_of(
    references: Array,
    reference_labels: NDArray[np.int64],
    queries: Array,
    query_labels: NDArray[np.int64],
) -> dict[str, Any]:
    """Return what inference needs to know of distances.

    Args:
        references: float32 ``[M, D]``, the embeddings of ``split.train``.
        reference_labels: int64 ``[M]``.
        queries: float32 ``[Q, D]``, those of ``split.validation``.
        query_labels: int64 ``[Q]``.

    Returns:
        ``distances``, of each query to its nearest reference, ascending; ``verification``, of
        query-reference pairs: the equal error rate (``eer``) with its distance and the share of
        false non-matches (``fnmr``) at rates of false matches (FMR), None where fewer than 10/FMR
        pairs are of two classes; ``coverage``, how many of the answers are right if only so many
        of the queries, the nearest, are answered.
    """
    rows, distances = Search(references).nearest(queries, NEIGHBOURS)
    labels, _ = vote(reference_labels[rows])
    order = np.argsort(distances[:, 0], kind="stable")
    right = (labels == query_labels)[order]
    nearest = distances[order, 0]
    coverage = []
    for share in COVERAGES:
        count = max(1, round(share * len(order)))
        accuracy, distance = float(right[:count].mean()), float(nearest[count - 1])
        coverage.append({"coverage": share, "distance": distance, "accuracy": accuracy})
    step = -(-len(queries) * len(references) // PAIRS)
    return {
        "distances": nearest.tolist(),
        "verification": verification(
            _distances(references, queries[::step]),
            query_labels[::step, None] == reference_labels,
        ),
        "coverage": coverage,
    }


def check_alpha(validation_images: int, alpha: float) -> None:
    """Warn where nothing can be taken for unknown, as the smallest p-value is above ``alpha``."""
    if 0 < alpha < 1 / (validation_images + 1):
        logger.warning(
            "%d validation images: no image can be taken for unknown, which alpha=%g allows from "
            "%d on; more images, a larger data.validation_share or inference.alpha would",
            validation_images,
            alpha,
            math.ceil(1 / alpha) - 1,
        )


def p_values(distances: Array, calibration: list[float]) -> NDArray[np.float64]:
    """Return the conformal p-value of each distance: (1 + #{calibration >= distance}) / (n + 1).

    Vovk, Gammerman and Shafer 2005, "Algorithmic Learning in a Random World", chapter 2: of new
    images that are drawn like the validation images a share of at most alpha has p <= alpha.

    Args:
        distances: float32 ``[N]``.
        calibration: Ascending, n of them.
    """
    known = np.asarray(calibration, np.float32)
    farther = len(known) - np.searchsorted(known, distances, side="left")
    return (1 + farther) / (len(known) + 1)


def verification(distances: Array, same: NDArray[np.bool_]) -> dict[str, Any]:
    """Return how well a threshold on distances tells pairs of one class from others.

    Args:
        distances: float32, of any shape.
        same: bool of that shape, whether a pair is of one class; some are and some are not.

    Returns:
        As ``verification`` of :func:`calibration_of`.
    """
    matches, others = np.sort(distances[same]), np.sort(distances[~same])
    thresholds = np.concatenate([matches, others])
    thresholds.sort()
    missed = 1 - np.searchsorted(matches, thresholds, side="right") / len(matches)
    accepted = np.searchsorted(others, thresholds, side="right") / len(others)
    crossing = int((accepted >= missed).argmax())
    return {
        "eer": float((accepted[crossing] + missed[crossing]) / 2),
        "eer_distance": float(thresholds[crossing]),
        "pairs_of_one_class": len(matches),
        "pairs_of_two_classes": len(others),
        "fnmr": {str(rate): _fnmr(matches, others, rate) for rate in FALSE_MATCH_RATES},
    }


def _distances(references: Array, queries: Array) -> Array:
    """Return float32 ``[Q, M]``."""
    distances = np.empty((len(queries), len(references)), np.float32)
    for row, query in zip(distances, queries.astype(np.float64), strict=True):
        row[:] = np.sqrt(((references - query) ** 2).sum(1))
    return distances


def _fnmr(matches: Array, others: Array, rate: float) -> dict[str, float] | None:
    """Return the largest distance that lets through at most ``rate`` of the others, and FNMR."""
    if len(others) < 10 / rate:
        return None
    allowed = int(rate * len(others))
    distance = float(np.nextafter(others[allowed], np.float32(-1)))
    missed = 1 - np.searchsorted(matches, np.float32(distance), side="right") / len(matches)
    return {"distance": distance, "fnmr": float(missed)}
