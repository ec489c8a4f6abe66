"""How well a score tells out-of-distribution (OOD) images from in-distribution (ID) ones.

A higher score says OOD. Images are accepted as ID where their score is at most a threshold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Per cent of the ID images that a threshold accepts.
ACCEPTED = 95


def detection(known: Array, strange: Array) -> dict[str, float]:
    """Return how well a score tells two sets apart.

    Average precisions are those of equal counts: each set weighs one, however many its images,
    so none is left out.

    Args:
        known: ``[Q]``, of ID images.
        strange: ``[M]``, of OOD images.

    Returns:
        ``auroc``, the share of pairs whose OOD image has the higher score, ties one half;
        ``fpr95``, the share of OOD images that the threshold accepts which accepts 95 % of the
        ID images (OpenOOD and pytorch-ood take OOD as the positive class: another number);
        ``aupr_in`` and ``aupr_out``, the average precision of finding the ID and the OOD images.
    """
    known, strange = np.sort(known), np.sort(strange)
    below, up_to = (np.searchsorted(known, strange, side) for side in ("left", "right"))
    return {
        "auroc": float((below + up_to).sum() / (2 * len(known) * len(strange))),
        "fpr95": float((strange <= threshold_of(known)).mean()),
        "aupr_in": _average_precision(known, strange),
        "aupr_out": _average_precision(-strange[::-1], -known[::-1]),
    }


def detection_scores(known: Mapping[str, Array], strange: Mapping[str, Array]) -> dict[str, float]:
    """Return :func:`detection` of every score as ``<figure>_<score>``."""
    return {
        f"{figure}_{score}": value
        for score in known
        for figure, value in detection(known[score], strange[score]).items()
    }


def threshold_of(known: Array) -> float:
    """Return the lowest of ID images' scores, ``[Q]``, that accepts at least 95 % of them."""
    count = -(-ACCEPTED * len(known) // 100)
    return float(np.partition(known, count - 1)[count - 1])


def risk_of_coverage(scores: Array, wrong: NDArray[np.bool_]) -> Array:
    """Return the share of wrong answers among the 1, 2 ... Q with the lowest scores.

    Within a tie it is what to expect of a random order. The mean is the area under the
    risk-coverage curve (AURC, Geifman, Uziel and El-Yaniv 2019).

    Args:
        scores: ``[Q]``.
        wrong: bool ``[Q]``.

    Returns:
        float64 ``[Q]``, the risk at a coverage of 1/Q, 2/Q ... 1.
    """
    _, members, counts = np.unique(scores, return_inverse=True, return_counts=True)
    answered = np.arange(1, len(scores) + 1)
    ends, errors = counts.cumsum(), np.bincount(members, weights=wrong).cumsum()
    expected: Array = np.interp(answered, np.append(0, ends), np.append(0.0, errors))
    return expected / answered


def _average_precision(positive: NDArray[Any], negative: NDArray[Any]) -> float:
    """Return the average precision where positives should have low scores, both ascending."""
    levels = np.unique(np.concatenate([positive, negative]))
    recall, false = (
        np.searchsorted(some, levels, "right") / len(some) for some in (positive, negative)
    )
    return float(np.diff(recall, prepend=0.0) @ (recall / (recall + false)))
