"""Squared L2 distances by a matrix product, with a proven bound on their error.

What decides is the sum of squared differences in float64. A product is many times faster, and most
of the order is certain from it; the sums are for what it leaves in doubt.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Bytes of references and their distances that are worked on at once: more leave the cache.
BLOCK_BYTES = 2_000_000

#: Up to this dimension a float64 product is as fast; beyond, float32 is tried first.
FEW_DIMENSIONS = 16

#: For each candidate, how many exact distances are as fast as another product.
EXACT_PAIRS = 0.5

#: Levels of distance: with what rounding may add, and the other half for their errors, 32 bits.
LEVELS = 2**31 - 2**10

#: Covers the rounding of square roots and of their sums.
SAFE = 1 + 1e-12

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.int64]
Precision = type[np.float32] | type[np.float64]


class Near(NamedTuple):
    """How far the candidates of a group are from its queries, up to a proven error.

    Attributes:
        query: float32 or uint8 ``[G, D]``.
        reference: float32 or uint8 ``[N, D]``, all of them.
        candidates: int64 ``[C]``, rows of ``reference`` in rising order, among them the nearest
            of every query.
        levels: uint32 ``[G, C]``, squared distances on a scale from 0 to ``LEVELS`` that holds all
            that are asked for; what is beyond is ``LEVELS``.
        apart: Levels that differ by more are surely in this order; 0 where all points are one.
        final: Whether no more precise ones will follow.
    """

    query: NDArray[Any]
    reference: NDArray[Any]
    candidates: Integers
    levels: NDArray[np.uint32]
    apart: int
    final: bool

    def exact(self, rows: Any, columns: Integers) -> NDArray[np.float64]:
        """Return what decides, of pairs ``[P]`` or of one row: squared distances in float64."""
        sums = np.zeros(len(columns))
        if self.apart:
            rows, places = np.broadcast_to(rows, columns.shape), self.candidates[columns]
            for at in slices(len(columns), 8 * self.query.shape[1], BLOCK_BYTES):
                # (in row order the sum adds up in an order that depends on D alone)
                pairs = self.query[rows[at]], self.reference[places[at]]
                sums[at] = (np.subtract(*pairs, dtype=np.float64, order="C") ** 2).sum(1)
        return sums

    def decides(self, pairs: int) -> bool:
        """Return whether so many exact distances are to be had before more precise levels."""
        return self.final or pairs <= EXACT_PAIRS * len(self.candidates)


class References(NamedTuple):
    """References, and what their distances are computed from.

    Attributes:
        exactly: float32 or uint8 ``[N, D]``, all of them.
        rows: int64 ``[C]``, the rows of those that are meant.
        points: ``[C, D]``, those; in few dimensions float64 and as seen from the centre.
        centre: float32 ``[D]``, their mean where that is far from the origin: seen from there,
            points are shorter, and the error of a product less.
        norms: float64 ``[C]``, their squared lengths as seen from the centre.
        first: No query has a candidate whose squared distance is less,
        last: and none has its last neighbour that is asked for beyond this one.
    """

    exactly: NDArray[Any]
    rows: Integers
    points: NDArray[Any]
    centre: NDArray[np.float32]
    norms: NDArray[np.float64]
    first: float = 0.0
    last: float = math.inf

    @classmethod
    def of(cls, exactly: NDArray[Any]) -> References:
        """Prepare all references, float32 or uint8 ``[N, D]``."""
        some = exactly[:: 1 + len(exactly) // 1000].astype(np.float64)
        mean, many = some.mean(0), exactly.shape[1] > FEW_DIMENSIONS
        if many and mean @ mean <= 3 * _norms(some - mean).mean():
            mean[:] = 0  # (there is little to gain)
        centre, points = mean.astype(np.float32), exactly
        if not many:  # (coordinate after coordinate, as they are read)
            points = np.subtract(exactly, centre, dtype=np.float64, order="F")
        self = cls(exactly, np.arange(len(exactly)), points, centre, np.empty(len(exactly)))
        for at in slices(len(exactly), 8 * len(centre), BLOCK_BYTES):
            self.norms[at] = _norms(self.block(at, np.float64))
        return self

    @property
    def many(self) -> bool:
        """Whether their dimensions are many."""
        return len(self.centre) > FEW_DIMENSIONS

    def near(self, group: NDArray[Any], enough: int) -> References:
        """Return those that can be among the ``enough`` nearest of a query of the group."""
        middle = group.mean(0, keepdims=True, dtype=np.float64).astype(np.float32)
        radius = math.sqrt(_norms(np.subtract(group, middle, dtype=np.float64)).max())
        precision = self.precisions(middle)[0]
        error = bound(self.span(middle), len(self.centre), precision)
        row = np.concatenate([part[0] for _, part in self.distances(middle, precision)])
        kth = math.sqrt(max(0.0, float(np.partition(row, enough - 1)[enough - 1]) + error))
        nearest = math.sqrt(max(0.0, float(row.min()) - error))
        first, last = max(0.0, nearest / SAFE - radius * SAFE) ** 2, ((kth + radius) * SAFE) ** 2
        rows = np.flatnonzero(row <= ((kth + 2 * radius) * SAFE) ** 2 + 2 * error)
        if self.many and 2 * len(rows) > len(row):  # (not worth a copy)
            return self._replace(first=first, last=last)
        points = self.points.T[:, rows].T
        return References(
            self.exactly, self.rows[rows], points, self.centre, self.norms[rows], first, last
        )

    def measured(self, query: NDArray[Any], precision: Precision) -> Near:
        """Return the distances of a few queries, in levels from the first to the last."""
        error = bound(self.span(query), len(self.centre), precision)
        scale = 1.0
        if error:  # (a power of two scales without rounding)
            scale = 2.0 ** math.floor(math.log2(LEVELS / max(self.last - self.first, 2 * error)))
        levels = np.empty((len(query), len(self.rows)), np.uint32)
        for at, part in self.distances(query, precision, scale, self.first):
            levels[:, at] = part.clip(0, LEVELS, out=part)
        apart = int(2 * error * scale) + 1 if error else 0
        return Near(query, self.exactly, self.rows, levels, apart, precision is np.float64)

    def distances(
        self, query: NDArray[Any], precision: Precision, scale: float = 1.0, first: float = 0.0
    ) -> Iterator[tuple[slice, Floats]]:
        """Yield ``scale`` times what squared distances exceed ``first`` by, block after block."""
        seen = np.subtract(query, self.centre, dtype=np.float64)
        lengths = (scale * (_norms(seen) - first)).astype(precision)[:, None]
        left, norms = (-2 * scale * seen).astype(precision), (scale * self.norms).astype(precision)
        for at in slices(len(norms), left.itemsize * sum(left.shape), BLOCK_BYTES):
            part = left @ self.block(at, precision).T
            part += lengths
            part += norms[at]
            yield at, part

    def block(self, at: slice, precision: Precision) -> NDArray[Any]:
        """Return a few of the points as seen from the centre."""
        points = self.points[at]
        if self.many and self.centre.any():
            points = np.subtract(points, self.centre, dtype=precision)
        return np.asarray(points, precision)

    def span(self, query: NDArray[Any]) -> float:
        """Return ``(|q| + |r|)^2`` for the longest of both, as seen from the centre."""
        longest = _norms(np.subtract(query, self.centre, dtype=np.float64)).max()
        return (math.sqrt(longest) + math.sqrt(self.norms.max())) ** 2

    def precisions(self, query: NDArray[Any]) -> tuple[Precision, ...]:
        """Return in what to compute, one after the other until all is decided."""
        in_range = 1e-18 < self.span(query) < 1e18  # (beyond, float32 would lose squares)
        return (np.float32, np.float64) if in_range and self.many else (np.float64,)


def bound(span: float, dimension: int, precision: Precision) -> float:
    """Return how far a distance from a product can be from the float64 sum that decides.

    The D roundings of a product, in whatever order, come to at most D / 2 epsilons of 2 |q| |r|,
    which is no more than half the span. Lengths and the deciding sum have D roundings in float64.
    The rest is for centring, for adding up, and for what is too small for the precision.

    Args:
        span: ``(|q| + |r|)^2`` for the longest of both, as seen from the centre.
        dimension: D.
        precision: Of the product.
    """
    limits, sums = np.finfo(precision), np.finfo(np.float64)
    share = (0.3 * dimension + 4) * limits.eps + (1.3 * dimension + 8) * sums.eps
    return float(share) * span + (2 * dimension + 8) * float(limits.tiny) if span else 0.0


def _norms(points: NDArray[np.float64]) -> NDArray[np.float64]:
    norms: NDArray[np.float64] = np.einsum("ij,ij->i", points, points)
    return norms


def slices(count: int, row_bytes: int, most: int) -> Iterator[slice]:
    """Yield slices of ``count`` rows of so many bytes each, of ``most`` bytes together."""
    step = max(1, most // row_bytes)
    return (slice(start, start + step) for start in range(0, count, step))
