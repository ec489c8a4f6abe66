"""Exact nearest neighbours in L2 distance; of tied references the lower index comes first.

Exact means: ranked by the sum of squared differences in float64. Most of the order is certain from
a matrix product, whose error has a proven bound; what that leaves in doubt, and only that, the sums
decide. So offset, scale, duplicates and chunks change no rank.

How the CPU gets by without comparing everything: queries that lie close together are taken as a
group. If the k-th nearest reference of the group's middle is at distance d, and every query within
r of it, then by the triangle inequality the k nearest of each query are within d + 2r of the
middle. Only those candidates are looked at, once for the group.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor

from guided_dml.errors import InputError

#: Queries of a group: in fewer rows a matrix product is slower, more lie further apart.
GROUP = 64

#: Bytes that the distances and the ranking of a chunk of queries may take.
CHUNK_BYTES = 128_000_000

#: Bytes for each pair of a query and a candidate: its distance, its key, copies.
PAIR_BYTES = 28

#: Bytes of references and their distances that are worked on at once: more leave the cache.
BLOCK_BYTES = 2_000_000

#: Up to this dimension a float64 product is as fast; beyond, float32 is tried first.
FEW_DIMENSIONS = 16

#: Of a query's candidates: up to this share, pairs are faster compared than multiplied again.
FEW_PAIRS = 0.01

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
            for at in _slices(len(columns), 8 * self.query.shape[1]):
                # (in row order the sum adds up in an order that depends on D alone)
                pairs = self.query[rows[at]], self.reference[places[at]]
                sums[at] = (np.subtract(*pairs, dtype=np.float64, order="C") ** 2).sum(1)
        return sums

    def few(self, pairs: int) -> bool:
        """Return whether so many a query are better compared than left to what follows."""
        return self.final or pairs <= FEW_PAIRS * len(self.candidates)


#: Is given rows of the queries ``[G]`` and what is near them. Returns the rows that wait for more
#: precise distances.
Work = Callable[[Integers, Near], Integers]


def nearest(query: Tensor, reference: Tensor, k: int) -> Tensor:
    """Return the k nearest references of every query.

    Args:
        query: float32 or uint8 ``[Q, D]``.
        reference: float32 or uint8 ``[N, D]``, on the same device.
        k: How many; at most N are returned.

    Returns:
        int64 ``[Q, min(k, N)]`` on the same device: indices into ``reference``, nearest first.

    Raises:
        InputError: There is no query or no reference, some are not finite, dimensions differ, or k
            is below 1.
    """
    if k < 1:
        raise InputError(f"k: {k} neighbours are asked for; at least 1 is needed")
    query, reference = checked("query", query), checked("reference", reference)
    check_dimensions(query, reference)
    on_device = nearest_on_cpu if query.device.type == "cpu" else nearest_on_gpu
    return on_device(query, reference, min(k, len(reference)))


def nearest_on_cpu(query: Tensor, reference: Tensor, k: int) -> Tensor:
    """Return the k nearest references of every query, group by group."""
    found = np.empty((len(query), k), np.int64)

    def rank(rows: Integers, near: Near) -> Integers:
        kth = np.partition(near.levels, k - 1, axis=1)[:, k - 1 : k]
        of, columns = (near.levels <= kth + np.uint32(near.apart)).nonzero()
        if not near.few(len(of) // len(rows)):
            return rows
        order = np.lexsort((near.exact(of, columns), of))
        starts = of.searchsorted(np.arange(len(rows)))
        found[rows] = near.candidates[columns[order][starts[:, None] + np.arange(k)]]
        return rows[:0]

    for_each_group(query, reference, np.full(len(query), k), rank)
    return torch.from_numpy(found)


def nearest_on_gpu(query: Tensor, reference: Tensor, k: int) -> Tensor:
    """Return the k nearest references of every query; what is in doubt the CPU decides."""
    parts = [
        ranked_on_gpu(part, reference, k)
        for part in query.chunk(chunks(len(query), len(reference)))
    ]
    found = torch.cat([places[:, :k] for places, _ in parts])
    rows = torch.cat([close.any(1) for _, close in parts]).nonzero().flatten()
    if len(rows):
        decided = nearest_on_cpu(query[rows].cpu(), reference.cpu(), k)
        found[rows] = decided.to(found.device)
    return found


def ranked_on_gpu(query: Tensor, reference: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Return the nearest of a few queries by a float64 product, and where that is in doubt.

    Returns:
        int64 ``[Q, m]``, indices into ``reference``, nearest first, where m is ``n + 1`` or all;
        and bool ``[Q, m - 1]``, whether the next is too close to be surely further away.
    """
    centre = reference.double().mean(0)
    query, reference = query.double() - centre, reference.double() - centre
    lengths, norms = query.square().sum(1), reference.square().sum(1)
    distances = (norms - 2 * query @ reference.T).add_(lengths[:, None])
    found = distances.topk(min(n + 1, len(reference)), largest=False)
    span = (math.sqrt(lengths.max()) + math.sqrt(norms.max())) ** 2
    close = found.values.diff(dim=1) <= 2 * bound(span, query.shape[1], np.float64)
    return found.indices, close


def checked(name: str, points: Tensor) -> Tensor:
    """Return points ``[N, D]`` as they are compared: uint8 as it is, all else as float32.

    Raises:
        InputError: They are no such table, empty, or not finite in float32.
    """
    if points.ndim != 2 or not points.numel():
        raise InputError(
            f"{name}: embeddings [N, D] with N > 0 and D > 0 are needed; got {list(points.shape)}"
        )
    points = points.detach() if points.dtype == torch.uint8 else points.detach().float()
    if not all(extreme.isfinite() for extreme in points.aminmax()):
        raise InputError(f"{name}: some embeddings are not finite")
    return points


def check_dimensions(query: Tensor, reference: Tensor) -> None:
    """Raise an InputError where queries and references are not of one dimension."""
    if query.shape[1] != reference.shape[1]:
        raise InputError(
            f"query and reference differ in dimension: {query.shape[1]} and {reference.shape[1]}"
        )


def chunks(queries: int, references: int) -> int:
    """Return in how many parts so many queries are compared with so many references."""
    return math.ceil(queries / max(1, CHUNK_BYTES // (references * PAIR_BYTES)))


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


def for_each_group(query: Tensor, reference: Tensor, enough: Integers, work: Work) -> None:
    """Hand group after group of the queries to ``work``, on as many threads as PyTorch uses.

    Args:
        query: float32 or uint8 ``[Q, D]`` on the CPU.
        reference: float32 or uint8 ``[N, D]`` on the CPU.
        enough: ``[Q]``, how many of its nearest references each query needs.
        work: Is called for each group, and again for the rows that it returns.
    """
    points, everywhere = query.numpy(), _References.of(reference.numpy())

    def of_group(rows: Integers) -> None:
        near, first, last = everywhere.near(points[rows], int(enough[rows].max()))
        for part in np.array_split(rows, chunks(len(rows), len(near.rows))):
            for precision in near.precisions(points[part]):
                if len(part):
                    part = work(part, near.measured(points[part], first, last, precision))

    threads = torch.get_num_threads()
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(of_group, _groups(points)):
            pass


def _groups(points: NDArray[Any]) -> Iterator[Integers]:
    """Yield rows of ``points``, split along their widest coordinate until few enough."""
    waiting = [np.arange(len(points))]
    while waiting:
        rows = waiting.pop()
        if len(rows) <= GROUP:
            yield rows
            continue
        half = GROUP * math.ceil(len(rows) / GROUP / 2)  # (the groups but one are full)
        some = points[rows]
        with np.errstate(over="ignore"):
            widest = np.ptp(some, axis=0).argmax()
        order = rows[some[:, widest].argpartition(half)]
        waiting += [order[:half], order[half:]]


class _References(NamedTuple):
    """References, and what their distances are computed from.

    Attributes:
        exactly: float32 or uint8 ``[N, D]``, all of them.
        rows: int64 ``[C]``, the rows of those that are meant.
        points: ``[C, D]``, those; in few dimensions float64 and as seen from the centre.
        centre: float32 ``[D]``, their mean where that is far from the origin: seen from there,
            points are shorter, and the error of a product less.
        norms: float64 ``[C]``, their squared lengths as seen from the centre.
    """

    exactly: NDArray[Any]
    rows: Integers
    points: NDArray[Any]
    centre: NDArray[np.float32]
    norms: NDArray[np.float64]

    @classmethod
    def of(cls, exactly: NDArray[Any]) -> _References:
        some = exactly[:: 1 + len(exactly) // 1000].astype(np.float64)
        mean, few = some.mean(0), exactly.shape[1] <= FEW_DIMENSIONS
        if not few and mean @ mean <= 3 * _norms(some - mean).mean():
            mean[:] = 0  # (there is little to gain)
        centre, points = mean.astype(np.float32), exactly
        if few:  # (coordinate after coordinate, as they are read)
            points = np.subtract(exactly, centre, dtype=np.float64, order="F")
        self = cls(exactly, np.arange(len(exactly)), points, centre, np.empty(len(exactly)))
        for at in _slices(len(exactly), 8 * len(centre)):
            self.norms[at] = _norms(self.block(at, np.float64))
        return self

    @property
    def few(self) -> bool:
        return len(self.centre) <= FEW_DIMENSIONS

    def near(self, group: NDArray[Any], enough: int) -> tuple[_References, float, float]:
        """Return those that can be among the ``enough`` nearest of a query of the group.

        With them two squared distances: no query has a candidate nearer than the first, none has
        the last neighbour that is asked for beyond the second.
        """
        middle = group.mean(0, keepdims=True, dtype=np.float64).astype(np.float32)
        radius = math.sqrt(_norms(np.subtract(group, middle, dtype=np.float64)).max())
        precision = self.precisions(middle)[0]
        error = bound(self.span(middle), len(self.centre), precision)
        row = np.concatenate([part[0] for _, part in self.distances(middle, precision)])
        kth = math.sqrt(max(0.0, float(np.partition(row, enough - 1)[enough - 1]) + error))
        first = math.sqrt(max(0.0, float(row.min()) - error))
        rows = np.flatnonzero(row <= ((kth + 2 * radius) * SAFE) ** 2 + 2 * error)
        limits = max(0.0, first / SAFE - radius * SAFE) ** 2, ((kth + radius) * SAFE) ** 2
        if not self.few and 2 * len(rows) > len(row):  # (not worth a copy)
            return self, *limits
        points = self.points.T[:, rows].T
        return self._replace(rows=rows, points=points, norms=self.norms[rows]), *limits

    def measured(
        self, query: NDArray[Any], first: float, last: float, precision: Precision
    ) -> Near:
        """Return the distances of a few queries, in levels from ``first`` to ``last``."""
        error = bound(self.span(query), len(self.centre), precision)
        scale = 1.0
        if error:  # (a power of two scales without rounding)
            scale = 2.0 ** math.floor(math.log2(LEVELS / max(last - first, 2 * error)))
        levels = np.empty((len(query), len(self.rows)), np.uint32)
        for at, part in self.distances(query, precision, scale, first):
            levels[:, at] = part.clip(0, LEVELS, out=part)
        apart = int(2 * error * scale) + 1 if error else 0
        return Near(query, self.exactly, self.rows, levels, apart, precision is np.float64)

    def distances(
        self, query: NDArray[Any], precision: Precision, scale: float = 1.0, first: float = 0.0
    ) -> Iterator[tuple[slice, Floats]]:
        """Yield ``scale`` times what squared distances exceed ``first`` by, block after block."""
        moved = np.subtract(query, self.centre, dtype=np.float64)
        lengths = (scale * (_norms(moved) - first)).astype(precision)[:, None]
        left, norms = (-2 * scale * moved).astype(precision), (scale * self.norms).astype(precision)
        for at in _slices(len(norms), left.itemsize * sum(left.shape)):
            part = left @ self.block(at, precision).T
            part += lengths
            part += norms[at]
            yield at, part

    def block(self, at: slice, precision: Precision) -> NDArray[Any]:
        """Return a few of the points as seen from the centre."""
        points = self.points[at]
        seen = self.few or not self.centre.any()
        return np.asarray(
            points if seen else np.subtract(points, self.centre, dtype=precision), precision
        )

    def span(self, query: NDArray[Any]) -> float:
        """Return ``(|q| + |r|)^2`` for the longest of both, as seen from the centre."""
        longest = _norms(np.subtract(query, self.centre, dtype=np.float64)).max()
        return (math.sqrt(longest) + math.sqrt(self.norms.max())) ** 2

    def precisions(self, query: NDArray[Any]) -> tuple[Precision, ...]:
        """Return in what to compute, one after the other until all is decided."""
        in_range = 1e-18 < self.span(query) < 1e18  # (beyond, float32 would lose squares)
        return (np.float32, np.float64) if in_range and not self.few else (np.float64,)


def _norms(points: NDArray[np.float64]) -> NDArray[np.float64]:
    norms: NDArray[np.float64] = np.einsum("ij,ij->i", points, points)
    return norms


def _slices(count: int, row_bytes: int) -> Iterator[slice]:
    step = max(1, BLOCK_BYTES // row_bytes)
    return (slice(start, start + step) for start in range(0, count, step))
