"""Exact nearest neighbours in L2 distance; of tied references the lower index comes first.

Exact means: ranked by the sum of squared differences in float64. Most of the order is certain from
a matrix product, whose error has a proven bound; what that leaves in doubt, and only that, the sums
decide. So offset, scale, duplicates and chunks change no rank.

How the CPU gets by without comparing everything: queries that lie close together are taken as a
group. If the k-th nearest reference of the group's middle is at distance d, and every query within
r of it, then by the triangle inequality the k nearest of each query are within d + 2r of the
middle. Only those candidates are looked at, once for the group. They are sought among those of the
region of which the group is a part.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor

from guided_dml.errors import InputError
from guided_dml.metrics.distances import Integers, Near, Precision, References, bound

#: Queries of a group, in few and in many dimensions: in fewer rows a matrix product is slower, more
#: lie further apart.
GROUP = 32, 64

#: Queries whose candidates a group's are sought among, in few and in many dimensions.
REGION = 256, 64

#: Bytes that the distances and the ranking of a chunk of queries may take.
CHUNK_BYTES = 128_000_000

#: The same on a GPU, which needs large products.
GPU_CHUNK_BYTES = 2_000_000_000

#: Bytes for each pair of a query and a candidate: its distance, its key, copies.
PAIR_BYTES = 28

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
        if not near.decides(len(of)):
            return rows
        order = np.lexsort((near.exact(of, columns), of))
        starts = of.searchsorted(np.arange(len(rows)))
        found[rows] = near.candidates[columns[order][starts[:, None] + np.arange(k)]]
        return rows[:0]

    for_each_group(query, reference, np.full(len(query), k), rank)
    return torch.from_numpy(found)


def nearest_on_gpu(query: Tensor, reference: Tensor, k: int) -> Tensor:
    """Return the k nearest references of every query; what is in doubt the CPU decides."""
    centred = OnGpu(reference)
    ranked = [centred.rank(part, k) for part in query.split(centred.chunk)]
    found = torch.cat([places[:, :k] for places, _ in ranked])
    rows = torch.cat([close.any(1) for _, close in ranked]).nonzero().flatten()
    if len(rows):
        decided = nearest_on_cpu(query[rows].cpu(), reference.cpu(), k)
        found[rows] = decided.to(found.device)
    return found


class OnGpu:
    """References as a matrix product on a GPU wants them, made once for all queries.

    Attributes:
        chunk: Queries that are compared at once.
    """

    def __init__(self, reference: Tensor) -> None:
        """Centre the references, ``[N, D]``, and square their lengths."""
        self._points = reference.double()  # (one copy, 8 bytes a value: of raw pixels it is large)
        self._centre = self._points.mean(0)
        self._points -= self._centre
        self._norms = torch.einsum("nd,nd->n", self._points, self._points)
        self._longest = math.sqrt(self._norms.max())
        self.chunk = max(1, GPU_CHUNK_BYTES // (len(reference) * PAIR_BYTES))

    def rank(self, query: Tensor, n: int) -> tuple[Tensor, Tensor]:
        """Return the nearest of a few queries by a float64 product, and where that is in doubt.

        Returns:
            int64 ``[Q, m]``, rows of the references, nearest first, where m is ``n + 1`` or all;
            and bool ``[Q, m - 1]``, whether the next is too close to be surely further away.
        """
        points = query.double() - self._centre
        lengths = points.square().sum(1)
        distances = (self._norms - 2 * points @ self._points.T).add_(lengths[:, None])
        found = distances.topk(min(n + 1, len(self._points)), largest=False)
        span = (math.sqrt(lengths.max()) + self._longest) ** 2
        close = found.values.diff(dim=1) <= 2 * bound(span, query.shape[1], np.float64)
        return found.indices, close


def checked(name: str, points: Tensor) -> Tensor:
    """Return points ``[N, D]`` as they are compared: uint8 as it is, all else as float32."""
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


def for_each_group(query: Tensor, reference: Tensor, enough: Integers, work: Work) -> None:
    """Hand group after group of the queries to ``work``, on as many threads as PyTorch uses.

    Args:
        query: float32 or uint8 ``[Q, D]`` on the CPU.
        reference: float32 or uint8 ``[N, D]`` on the CPU.
        enough: ``[Q]``, how many of its nearest references each query needs.
        work: Is called for each group, and again for the rows that it returns.
    """
    points, everywhere = query.numpy(), References.of(reference.numpy())
    hopeless = set[Precision]()

    def in_region(rows: Integers) -> None:
        region = everywhere.near(points[rows], int(enough[rows].max()))
        for group in _split(points, rows, GROUP[everywhere.many]):
            near = region
            if len(group) < len(rows):
                near = region.near(points[group], int(enough[group].max()))
            at_once = max(1, CHUNK_BYTES // (len(near.rows) * PAIR_BYTES))
            for part in np.split(group, range(at_once, len(group), at_once)):
                for precision in near.precisions(points[part]):
                    if not len(part) or precision in hopeless:
                        continue
                    waiting = work(part, near.measured(points[part], precision))
                    if len(waiting) > 0.9 * len(part):  # (here it decides next to nothing)
                        hopeless.add(precision)
                    part = waiting

    regions = _split(points, np.arange(len(points)), REGION[everywhere.many])
    threads = torch.get_num_threads()
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads) as pool:
        list(pool.map(in_region, regions))


def _split(points: NDArray[Any], rows: Integers, size: int) -> Iterator[Integers]:
    """Yield rows, halved along their widest coordinate to ``size``; all parts but one are full."""
    if len(rows) <= size:
        yield rows
        return
    some, half = points[rows], size * math.ceil(len(rows) / size / 2)
    with np.errstate(over="ignore"):
        widest = np.ptp(some, axis=0).argmax()
    order = rows[some[:, widest].argpartition(half)]
    yield from _split(points, order[:half], size)
    yield from _split(points, order[half:], size)
