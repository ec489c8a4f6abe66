"""How strange an image is to a network: scores from its embedding, a higher one says stranger."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.special import expit, logsumexp
from torch import Tensor

from guided_dml.errors import InputError
from guided_dml.metrics.distances import slices
from guided_dml.metrics.neighbours import nearest
from guided_dml.types import Tensors

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Added to a covariance, as a share of its mean variance: collapsed embeddings have an inverse too.
RIDGE = 1e-6

#: A standard deviation of so small a share of the largest value is rounding.
ROUNDING = 1e-11

#: References for each neighbour of the score ``knn``.
REFERENCES_PER_NEIGHBOUR = 1000

#: In more, covariances of 8 D^2 bytes, and several at a time, would not fit into memory.
MOST_DIMENSIONS = 8192

#: Bytes that a part of the work may take.
PART_BYTES = 64_000_000


class Scored(NamedTuple):
    """What is said of Q images.

    Attributes:
        scores: float64 ``[Q]`` by name, see :class:`Scorer`.
        neighbours: int64 ``[Q]``, the row of the nearest reference.
        learned: float64 ``[Q]``, the distance to the nearest that the network learned from.
    """

    scores: dict[str, Array]
    neighbours: Integers
    learned: Array


class Scorer:
    """Scores images against references.

    ``nn``: L2 distance to the nearest reference; ``knn``: to the k-th, one of a thousand;
    ``mahalanobis``: the squared Mahalanobis distance to the nearest class mean, with one covariance
    within the classes (Lee et al. 2018); ``relative``: minus that under one Gaussian of all
    references (Ren et al. 2021); both in up to :data:`MOST_DIMENSIONS`. With a softmax head
    ``msp``: one minus the largest probability (Hendrycks and Gimpel 2017; it orders like
    ``-max p``, but is exact where p is nearly one); and ``energy``: ``-logsumexp`` of the logits
    (Liu et al. 2020).
    """

    def __init__(self, reference: Tensors, learned: Tensor, head: Tensors | None = None) -> None:
        """Prepare the references.

        Args:
            reference: ``embeddings`` float or uint8 ``[N, D]`` and ``labels`` int64 ``[N]``.
            learned: int64, the rows of those that the network learned from.
            head: ``weight`` ``[C, D]`` and ``bias`` ``[C]`` of a softmax; of others none, or empty.
        """
        self._points, count = reference["embeddings"], len(reference["labels"])
        others = torch.ones(count, dtype=torch.bool)
        others[learned.cpu()] = False
        self._parts = [learned.cpu(), others.nonzero().flatten()]
        self._k = max(1, round(count / REFERENCES_PER_NEIGHBOUR))
        fits = self._points.shape[1] <= MOST_DIMENSIONS
        self._gaussians = Gaussians(self._points, reference["labels"]) if fits else None
        self._head = head

    def __call__(self, points: Tensor) -> Scored:
        """Score embeddings ``[Q, D]``."""
        found = [
            distances(points, self._points, self._k, part) for part in self._parts if len(part)
        ]
        rows, near = (np.concatenate(parts, axis=1) for parts in zip(*found, strict=True))
        order = np.lexsort((rows, near), axis=1)
        near, first = np.take_along_axis(near, order, 1), order[:, :1]
        scores = {"nn": near[:, 0], "knn": near[:, self._k - 1]}
        if self._gaussians:
            scores |= self._gaussians(points)
        if self._head:
            scores |= _softmax_scores(points, self._head)
        return Scored(scores, np.take_along_axis(rows, first, 1)[:, 0], found[0][1][:, 0])


def distances(
    points: Tensor, reference: Tensor, k: int, among: Tensor | None = None
) -> tuple[Integers, Array]:
    """Return the k nearest references of each point, the nearest first.

    Args:
        points: ``[Q, D]``.
        reference: ``[N, D]``, on the same device.
        k: At most N are returned.
        among: int64 rows of the references that count; None: all.

    Returns:
        Their rows, int64 ``[Q, k]``, and L2 distances, float64 ``[Q, k]``.
    """
    some = reference if among is None else reference[among]
    rows = nearest(points, some, k).cpu().numpy()
    queries, found, squares = points.cpu().numpy(), some.cpu().numpy(), np.empty(rows.shape)
    for at in slices(len(rows), 8 * rows.shape[1] * found.shape[1], PART_BYTES):
        pairs = np.subtract(queries[at, None], found[rows[at]], dtype=np.float64)
        squares[at] = np.einsum("qkd,qkd->qk", pairs, pairs)
    return rows if among is None else among.numpy()[rows], np.sqrt(squares)


class Gaussians:
    """A Gaussian for each class, all with one covariance, and one Gaussian of all points."""

    def __init__(self, points: Tensor, labels: Tensor) -> None:
        """Fit them to ``[N, D]`` and int64 ``[N]``."""
        _, members = labels.cpu().unique(return_inverse=True)
        of_class = np.eye(int(members.max()) + 1)[members.numpy()]
        self._centre: Array = points.mean(0, dtype=torch.float64).cpu().numpy()
        sizes = of_class.sum(0)
        sums = sum(of_class[at].T @ part for at, part in self._seen(points))
        self._means: Array = sums / sizes[:, None]
        within = np.zeros((len(self._centre),) * 2)
        for at, part in self._seen(points):
            part -= of_class[at] @ self._means
            within += part.T @ part
        between = (self._means.T * sizes) @ self._means
        noise = (ROUNDING * float(points.abs().max())) ** 2
        self._of_classes, self._of_all = (
            _factor(scatter / len(points), noise) for scatter in (within, within + between)
        )

    def __call__(self, points: Tensor) -> dict[str, Array]:
        """Return ``mahalanobis`` and ``relative`` of points ``[Q, D]``, each ``[Q]``."""
        means = _whitened(self._means, self._of_classes)
        least, of_all = np.full(len(points), np.inf), np.empty(len(points))
        for at, part in self._seen(points):
            white = _whitened(part, self._of_classes)
            for mean in means:
                np.minimum(least[at], np.square(white - mean).sum(1), out=least[at])
            of_all[at] = np.square(_whitened(part, self._of_all)).sum(1)
        return {"mahalanobis": least, "relative": least - of_all}

    def _seen(self, points: Tensor) -> Iterator[tuple[slice, Array]]:
        """Yield part after part of the points in float64, as seen from the centre."""
        for at in slices(len(points), 8 * len(self._centre), PART_BYTES):
            yield at, points[at].cpu().numpy().astype(np.float64) - self._centre


def _factor(covariance: Array, noise: float) -> Array:
    """Return the Cholesky factor of a covariance with its ridge.

    A variance that is but rounding is none: squared Mahalanobis distances are then squared L2
    distances, which order as they would with ever smaller variances.
    """
    variance = covariance.diagonal().mean()
    if variance <= noise:
        return np.eye(len(covariance))
    return np.linalg.cholesky(covariance + RIDGE * variance * np.eye(len(covariance)))


def _whitened(points: Array, factor: Array) -> Array:
    white: Array = solve_triangular(factor, points.T, lower=True).T
    return white


def _softmax_scores(points: Tensor, head: Tensors) -> dict[str, Array]:
    weight, bias = (head[name].cpu().double().numpy() for name in ("weight", "bias"))
    if weight.shape[1] != points.shape[1]:
        raise InputError(
            f"the softmax's head is for {weight.shape[1]} dimensions, the embeddings have "
            f"{points.shape[1]}; score embeddings of the network that it was trained with"
        )
    logits = np.sort(points.cpu().double().numpy() @ weight.T + bias, axis=1)
    energy: Array = -logsumexp(logits, axis=1)
    rest = logsumexp(logits[:, :-1], axis=1) if len(bias) > 1 else np.full(len(logits), -np.inf)
    return {"msp": expit(rest - logits[:, -1]), "energy": energy}
