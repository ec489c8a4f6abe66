"""Exact nearest neighbours with numpy, for a gallery that is prepared once.

The metrics' own engine is faster for many queries, but needs torch and regroups its references at
every call.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

#: Distances that are held at once: 64 MB.
AT_ONCE = 8_000_000

#: Up to so many dimensions, differences are summed one by one, which is exact and as fast.
FEW_DIMENSIONS = 8


#: From so many dimensions on faiss finds the candidates, where it is installed: a matrix product
#: in float32. Some more than asked for, so that its rounding loses none: exact distances decide.
MANY_DIMENSIONS, SPARE = 64, 32


class Search:
    """The references of a gallery, ready to be searched."""

    def __init__(self, references: Array) -> None:
        """Prepare float ``[M, D]``."""
        exact = references.astype(np.float64)
        self._centre = exact.mean(0)
        self._references = np.ascontiguousarray((exact - self._centre).T)
        self._norms = (self._references**2).sum(0)
        many = references.shape[1] >= MANY_DIMENSIONS
        self._index = _faiss_index(self._references.T) if many else None

    def __len__(self) -> int:
        return len(self._norms)

    def nearest(self, queries: Array, k: int) -> tuple[NDArray[np.int64], Array]:
        """Return the k nearest references of each query, the nearest first.

        Args:
            queries: float ``[Q, D]``.
            k: At most M are returned.

        Returns:
            Their rows, int64 ``[Q, k]``, and their L2 distances, float32 ``[Q, k]``; of equally
            far ones the first.
        """
        k = min(k, len(self))
        rows, distances = np.empty((len(queries), k), np.int64), np.empty((len(queries), k))
        step = max(1, AT_ONCE // max(len(self), (k + SPARE) * queries.shape[1]))
        for start in range(0, len(queries), step):
            some = slice(start, start + step)
            centred = queries[some].astype(np.float64) - self._centre
            found = self._candidates(centred, k)
            exact = ((centred[:, None] - self._references.T[found]) ** 2).sum(2)
            order = np.lexsort((found, exact), axis=1)[:, :k]
            rows[some] = np.take_along_axis(found, order, 1)
            distances[some] = np.sqrt(np.take_along_axis(exact, order, 1))
        return rows, distances.astype(np.float32)

    def _candidates(self, queries: NDArray[np.float64], k: int) -> NDArray[np.int64]:
        """Return rows, int64 ``[Q, k or more]``, that hold the k nearest in any order."""
        if k + SPARE >= len(self):
            return np.broadcast_to(np.arange(len(self)), (len(queries), len(self)))
        if self._index is not None:
            far, rows = self._index.search(queries.astype(np.float32), k + SPARE)
            rounding = 1e-5 * (self._norms.max() + (queries**2).sum(1))  # (of float32)
            # (with one that is farther, all that are equally far as the k-th are there)
            if (far[:, -1] > far[:, k - 1] + rounding).all():
                found: NDArray[np.int64] = rows
                return found
        squares = self._squares(queries)
        rounding = 1e-12 * (self._norms.max() + (queries**2).sum(1, keepdims=True))
        last = np.partition(squares, k - 1, axis=1)[:, k - 1 : k]
        nearer, level = squares < last - rounding, np.abs(squares - last) <= rounding
        missing = k - nearer.sum(1, keepdims=True)
        level &= level.cumsum(1) <= missing  # (the first of those that are equally far)
        return np.nonzero(nearer | level)[1].reshape(len(queries), k)

    def _squares(self, queries: NDArray[np.float64]) -> NDArray[Any]:
        """Return squared distances ``[Q, M]``; of many dimensions less the query's own norm."""
        if queries.shape[1] > FEW_DIMENSIONS:
            product: NDArray[Any] = self._norms - 2 * (queries @ self._references)
            return product
        squares = np.zeros((len(queries), len(self)))
        for query, reference in zip(queries.T, self._references, strict=True):
            difference = query[:, None] - reference
            squares += np.square(difference, out=difference)
        return squares


def _faiss_index(references: NDArray[np.float64]) -> Any:
    try:
        import faiss
    except ImportError:
        return None
    index = faiss.IndexFlatL2(references.shape[1])
    index.add(np.ascontiguousarray(references, np.float32))
    return index


def vote(labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the most frequent of each row's labels and its share.

    Args:
        labels: int64 ``[Q, k]``, of the nearest neighbours, the nearest first.

    Returns:
        int64 ``[Q]``, of equally frequent labels that of the nearest, and float64 ``[Q]``.
    """
    counts = np.array([np.bincount(row)[row] for row in labels], np.int64).reshape(labels.shape)
    most = counts.argmax(1)[:, None]
    share = np.take_along_axis(counts, most, 1)[:, 0] / labels.shape[1]
    return np.take_along_axis(labels, most, 1)[:, 0], share
