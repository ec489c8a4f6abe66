"""Whether an image's neighbours agree with its label.

Sources: Wilson 1972 edits a training set by the vote of nearest neighbours; Northcutt, Jiang and
Chuang 2021 judge every label by a model that has not seen it, so cross-fitted.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from guided_dml.inference.search import vote

Integers = NDArray[np.int64]


def assign_folds(labels: Integers, folds: int, seed: int) -> Integers:
    """Deal the images of each class out to folds, in random order.

    Args:
        labels: int64 ``[N]``.
        folds: F.
        seed: Of the order.

    Returns:
        int64 ``[N]``, from 0 to F - 1. Of each class, and in all, folds differ by one at most.
    """
    rng = np.random.default_rng([seed, 2])
    by_class = [rng.permutation(np.flatnonzero(labels == one)) for one in np.unique(labels)]
    numbers = np.empty(len(labels), np.int64)
    numbers[np.concatenate(by_class)] = np.arange(len(labels)) % folds
    return numbers


class Votes(NamedTuple):
    """What the neighbours of each image say of its label.

    Attributes:
        score: float64 ``[N]``, the share of them that has the given label.
        suggested: int64 ``[N]``, the label that most of them have. Of equally frequent ones it is
            the given label, else the one that is met first from the nearest on.
        share: float64 ``[N]``, the share of them that has the suggested label.
    """

    score: NDArray[np.float64]
    suggested: Integers
    share: NDArray[np.float64]

    def issues(self, given: Integers, majority: float) -> NDArray[np.bool_]:
        """Return bool ``[N]``: a share of ``majority`` or more has one label, not the given."""
        # (a tenth of a vote: 0.7 * 10 is not 7 in floating point)
        found: NDArray[np.bool_] = (self.suggested != given) & (self.share > majority - 1e-9)
        return found


def votes(neighbours: Integers, given: Integers) -> Votes:
    """Let neighbours vote.

    Args:
        neighbours: int64 ``[N, k]``, their labels, the nearest first.
        given: int64 ``[N]``, the labels that are judged.
    """
    score, (first, share) = (neighbours == given[:, None]).mean(1), vote(neighbours)
    return Votes(score, np.where(score == share, given, first), share)
