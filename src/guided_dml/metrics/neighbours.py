"""Exact nearest neighbours in L2 distance; of tied references the lower index comes first.

How the CPU gets by without ranking everything: queries that lie close together are taken as a
group. If the k-th nearest reference of the group's centre is at distance d, and every query within
r of the centre, then by the triangle inequality the k nearest of each query are within d + 2r of
the centre. Only those candidates are looked at, once for the group.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor

#: Queries of a group: in fewer rows a matrix product is slower, more lie further apart.
GROUP = 64

#: Bytes that the distances and the ranking of a chunk of queries may take.
CHUNK_BYTES = 128_000_000

#: Bytes of float32 references that a matrix product takes at once: more leave the cache, and in
#: 3,072 dimensions (raw pixels of CIFAR-10) are up to a quarter slower.
BLOCK_BYTES = 4_000_000

#: Bytes for each pair of a query and a candidate: its distance, its key, counts, copies.
PAIR_BYTES = 28

#: Up to this dimension distances are summed coordinate by coordinate, without cancellation.
DIRECT_DIMENSIONS = 16

#: The low half of a ranking key: the position of a reference; its distance is above.
POSITION = 0xFFFFFFFF

#: Relative rounding of a distance that the choice of candidates allows for.
ROUNDING = 1e-5

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Keys = TypeVar("Keys", Integers, NDArray[np.uint32])
Array = TypeVar("Array", NDArray[Any], Tensor)


def nearest(query: Tensor, reference: Tensor, k: int) -> Tensor:
    """Return the k nearest references of every query.

    Args:
        query: float or uint8 ``[Q, D]``.
        reference: float or uint8 ``[N, D]``, on the same device.
        k: How many; at most N are returned.

    Returns:
        int64 ``[Q, min(k, N)]`` on the same device: indices into ``reference``, nearest first.
    """
    k = min(k, len(reference))
    if query.device.type != "cpu":
        chunks = query.split(chunk_size(len(reference)))
        return torch.cat([nearest_on_gpu(chunk, reference, k) for chunk in chunks])
    found = np.empty((len(query), k), np.int64)

    def rank(rows: Integers, candidates: Integers, distances: Floats) -> None:
        if k == 1:
            found[rows, 0] = candidates[distances.argmin(1)]
        else:
            found[rows] = smallest(ordered_keys(distances, candidates), k) & POSITION

    for_each_group(query, reference, np.full(len(query), k), rank)
    return torch.from_numpy(found)


def nearest_on_gpu(query: Tensor, reference: Tensor, k: int) -> Tensor:
    """Return the k nearest references of a few queries, by sorting integers of 64 bits."""
    positions = torch.arange(len(reference), device=reference.device)
    bits = squared_distances(query.float(), reference.float()).view(torch.int32).to(torch.int64)
    keys = (bits << 32 | positions).topk(k, dim=1, largest=False, sorted=True).values
    return keys & POSITION


def chunk_size(references: int) -> int:
    """Return how many queries can be compared with so many references at once."""
    return max(1, CHUNK_BYTES // (references * PAIR_BYTES))


def for_each_group(
    query: Tensor,
    reference: Tensor,
    enough: Integers,
    work: Callable[[Integers, Integers, Floats], None],
) -> None:
    """Hand group after group of the queries to ``work``, on as many threads as PyTorch uses.

    Args:
        query: ``[Q, D]`` on the CPU.
        reference: ``[N, D]`` on the CPU.
        enough: ``[Q]``, how many of its nearest references each query needs.
        work: Is given rows of ``query`` ``[G]`` (a group, or a part of one that has many
            candidates), candidates in rising order ``[C]`` (rows of ``reference``, the nearest of
            every query among them), and their squared distances, float32 ``[G, C]``.
    """
    points, everywhere = query.numpy(), _References.of(reference.numpy())

    def of_group(rows: Integers) -> None:
        group = points[rows].astype(np.float32)
        candidates = _candidates(group, everywhere, int(enough[rows].max()))
        if 2 * len(candidates) > len(reference):  # (not worth a copy)
            candidates, near = np.arange(len(reference)), everywhere
        else:
            near = everywhere.only(candidates)
        parts = math.ceil(len(rows) / chunk_size(len(candidates)))
        for part in np.array_split(np.arange(len(rows)), parts):
            work(rows[part], candidates, near.squared_distances(group[part]))

    threads = torch.get_num_threads()
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(of_group, _groups(points)):
            pass


class _References(NamedTuple):
    """Points, float32 or uint8 ``[N, D]``, with the squares that their distances need."""

    points: NDArray[Any]
    norms: Floats | None

    @classmethod
    def of(cls, points: NDArray[Any]) -> _References:
        if points.shape[1] <= DIRECT_DIMENSIONS:  # (coordinate after coordinate, as they are read)
            return cls(np.asfortranarray(points, np.float32), None)
        blocks = [squared_norms(block) for _, block in _blocks(points)]
        return cls(points, np.concatenate(blocks))

    def only(self, rows: Integers) -> _References:
        norms = None if self.norms is None else self.norms[rows]
        return _References(self.points.T[:, rows].T, norms)

    def squared_distances(self, query: Floats) -> Floats:
        if self.norms is None:
            return squared_distances(query, self.points)
        distances = np.empty((len(query), len(self.points)), np.float32)
        for at, block in _blocks(self.points):
            distances[:, at] = squared_distances(query, block, self.norms[at])
        return distances


def squared_distances(query: Array, reference: Array, norms: Array | None = None) -> Array:
    """Return the squared L2 distances of every query to every reference.

    Args:
        query: float32 ``[Q, D]``, of NumPy or PyTorch.
        reference: float32 ``[N, D]``, of the same kind.
        norms: float32 ``[N]``, the references' :func:`squared_norms`, where they are at hand.

    Returns:
        float32 ``[Q, N]``, none below 0. In few dimensions the squared differences are summed, so
        that equal distances are exactly equal; in many the matrix product is used.
    """
    if query.shape[1] <= DIRECT_DIMENSIONS:
        total: Array = (query[:, :1] - reference[:, 0]) ** 2
        for d in range(1, query.shape[1]):
            total += (query[:, d : d + 1] - reference[:, d]) ** 2
        return total
    product: Array = -2 * query @ reference.T
    product += squared_norms(query)[:, None]
    product += squared_norms(reference) if norms is None else norms
    product = product.clip(0)
    product += 0.0  # (turns a -0.0 into 0.0: the ranking reads bits)
    return product


def squared_norms(points: Array) -> Array:
    """Return the squared lengths of float32 ``[N, D]``: float32 ``[N]``."""
    norms: Array = (points**2).sum(1)
    return norms


def ordered_keys(distances: Floats, codes: Integers) -> Integers:
    """Return integers that order like the distances, and ties among them like the codes.

    A non-negative float32 orders like its bit pattern.
    """
    keys = distances.view(np.int32).astype(np.int64)
    keys <<= 32
    keys |= codes
    return keys


def smallest(keys: Keys, n: int) -> Keys:
    """Return the ``n`` smallest of each row, in order; ``keys`` is changed."""
    if n < keys.shape[1]:
        keys.partition(n - 1, axis=1)
    keys = keys[:, :n]
    keys.sort(axis=1)
    return keys


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
        widest = np.ptp(some, axis=0).argmax()
        order = rows[some[:, widest].argpartition(half)]
        waiting += [order[:half], order[half:]]


def _candidates(group: Floats, references: _References, enough: int) -> Integers:
    """Return the references that can be among the ``enough`` nearest of any query of the group."""
    centre = group.mean(axis=0, keepdims=True)
    radius = np.sqrt(squared_distances(centre, group).max())
    row = references.squared_distances(centre)[0]
    kth = np.partition(row, enough - 1)[enough - 1]
    bound = (np.sqrt(kth) + 2 * radius) ** 2
    # The error of a sum of squares grows with the sum, that of a matrix product with the norms.
    inexact = (
        bound if references.norms is None else squared_norms(group).max() + references.norms.max()
    )
    return np.flatnonzero(row <= bound + ROUNDING * inexact)


def _blocks(points: NDArray[Any]) -> Iterator[tuple[slice, Floats]]:
    """Yield the points as float32, a few at a time: whole-number pixels may be many."""
    step = max(1, BLOCK_BYTES // (4 * points.shape[1]))
    for start in range(0, len(points), step):
        at = slice(start, start + step)
        yield at, points[at].astype(np.float32, copy=False)
