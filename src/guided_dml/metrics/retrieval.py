"""Exact retrieval metrics: Recall@k, R-Precision and MAP@R (Musgrave et al. 2020).

Neighbours are ranked by L2 distance in float32; of tied references the one with the lower
index comes first. Queries are never among the references.

How the CPU gets by without sorting: for a query of a class with R references, the rank of the
i-th nearest of them is i + b, where b is the number of other references before it. So only the
other references among the R nearest need to be sorted, and on good embeddings there are few.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from guided_dml.errors import InputError

#: The k of the reported Recall@k.
RECALL_AT = (1, 2, 4, 8)

#: Bytes that a chunk of queries may take for its distances and ranking.
CHUNK_BYTES = 100_000_000

#: Up to this dimension distances are summed coordinate by coordinate, without cancellation.
DIRECT_DIMENSIONS = 16

#: The low half of a ranking key: the position of a reference; its distance is above.
POSITION = 0xFFFFFFFF

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]


def retrieval_scores(
    query: Tensor, query_labels: Tensor, reference: Tensor, reference_labels: Tensor
) -> dict[str, float]:
    """Score how well each query's neighbours among the references share its class.

    For a query, R is the number of references of its class. R-Precision is the share of its R
    nearest that are of its class; MAP@R is ``(1/R) sum_{i<=R} precision@i`` over the ranks i whose
    reference is of its class. Both are means over the queries. Recall@k is the share of queries
    with at least one of their class among the k nearest, macro-averaged over the classes:
    Recall@1 is the macro recall of a 1-nearest-neighbour classifier.

    Args:
        query: float ``[Q, D]``.
        query_labels: int64 ``[Q]``.
        reference: float ``[N, D]``, on the same device.
        reference_labels: int64 ``[N]``.

    Returns:
        ``recall_at_1``, ``recall_at_2``, ``recall_at_4``, ``recall_at_8``, ``r_precision`` and
        ``map_at_r``, each in [0, 1].

    Raises:
        InputError: Shapes do not fit, embeddings are not finite, or a query's class has no
            reference.
    """
    _check(query, query_labels, reference, reference_labels)
    score = _score_on_cpu if query.device.type == "cpu" else _score_on_gpu
    sums, recalls = np.zeros(2), []
    for label in query_labels.unique():
        of_class = query[query_labels == label]
        first_ranks, *precisions = score(of_class, reference, reference_labels == label)
        sums += [values.sum() for values in precisions]
        recalls.append([(first_ranks <= k).mean() for k in RECALL_AT])
    r_precision, map_at_r = (sums / len(query)).tolist()
    names = [f"recall_at_{k}" for k in RECALL_AT]
    macro = dict(zip(names, np.mean(recalls, axis=0).tolist(), strict=True))
    return macro | {"r_precision": r_precision, "map_at_r": map_at_r}


def nearest(query: Tensor, reference: Tensor, k: int) -> Tensor:
    """Return the k nearest references of every query.

    Args:
        query: float ``[Q, D]``.
        reference: float ``[N, D]``, on the same device.
        k: How many; at most N are returned.

    Returns:
        int64 ``[Q, min(k, N)]``: indices into ``reference``, the nearest first.
    """
    k = min(k, len(reference))
    if query.device.type != "cpu":
        chunks = query.split(_chunk_size(len(reference)))
        return torch.cat([_nearest_on_gpu(chunk, reference, k) for chunk in chunks])
    found = np.empty((len(query), k), np.int64)

    def rank(row: Floats, i: int) -> None:
        if k == 1:
            found[i] = row.argmin()
            return
        rows = np.flatnonzero(row <= np.partition(row, k - 1)[k - 1])
        found[i] = np.sort(_keys(row[rows], rows))[:k] & POSITION

    _for_each_row(query, reference, rank)
    return torch.from_numpy(found)


def _score_on_gpu(query: Tensor, reference: Tensor, relevant: Tensor) -> list[NDArray[Any]]:
    """Return first relevant rank, R-Precision and MAP@R of each query of one class."""
    total = int(relevant.sum())
    ranks = torch.arange(1, total + 1, device=query.device)
    rows = []
    for chunk in query.split(_chunk_size(len(reference))):
        order = _nearest_on_gpu(chunk, reference, min(max(total, *RECALL_AT), len(reference)))
        found = relevant[order]
        first = torch.where(found.any(1), found.int().argmax(1) + 1, len(reference) + 1)
        among = found[:, :total]
        precision = among.cumsum(1).double() / ranks
        rows.append(torch.stack([first, among.double().mean(1), (precision * among).mean(1)], 1))
    return list(torch.cat(rows).cpu().numpy().T)


def _score_on_cpu(query: Tensor, reference: Tensor, relevant: Tensor) -> list[NDArray[Any]]:
    """Return first relevant rank, R-Precision and MAP@R of each query of one class."""
    own, other = (mask.nonzero().flatten().numpy() for mask in (relevant, ~relevant))
    total = len(own)
    grouped = reference[torch.from_numpy(np.concatenate([own, other]))]
    enough = min(max(total, *RECALL_AT), len(reference))
    # (harmonic[n] is 1 + 1/2 + ... + 1/n)
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, total + 1))])
    scores = np.ones((3, len(query)))

    def score(row: Floats, i: int) -> None:
        near = row[total:] <= _bound(row, enough)
        rows = np.flatnonzero(near)
        if len(rows) == 0:
            return  # (all of the R nearest are of the query's class)
        others = np.sort(_keys(row[total:][rows], other[rows]))
        before = np.searchsorted(others, _keys(row[:total], own))
        # Own references with the same b have adjacent ranks: from C + b - n + 1 to C + b, for n
        # of them and C up to them; those above R do not count. precision@rank = (rank - b) / rank.
        members = np.bincount(before, minlength=len(others) + 1)
        b = np.arange(len(members))
        last = members.cumsum() + b
        start, stop = np.minimum(last - members, total), np.minimum(last, total)
        count = stop - start
        scores[0, i] = before.min() + 1
        scores[1, i] = count.sum() / total
        scores[2, i] = (count - b * (harmonic[stop] - harmonic[start])).sum() / total

    _for_each_row(query, grouped, score)
    return list(scores)


def _bound(row: Floats, enough: int) -> np.float32:
    """Return a distance that at least ``enough`` of the row do not exceed, and few more.

    An order statistic of every n-th value, checked, and exact where the check fails.
    """
    sample = row[:: max(1, len(row) // 4096)]
    expected = enough * len(sample) / len(row)
    place = int(expected + 3 * expected**0.5) + 1
    if place < len(sample):
        bound: np.float32 = np.partition(sample, place)[place]
        if np.count_nonzero(row <= bound) >= enough:
            return bound
    exact: np.float32 = np.partition(row, enough - 1)[enough - 1]
    return exact


def _for_each_row(query: Tensor, reference: Tensor, work: Callable[[Floats, int], None]) -> None:
    """Call ``work`` with every query's squared distances to all references, and its index.

    A row at a time fits into the processor's cache, and NumPy works on several at once.
    """
    queries, threads = query.float().contiguous(), torch.get_num_threads()
    columns = reference.float().T.contiguous().numpy()

    def direct(some: range) -> None:
        row, part = np.empty((2, len(reference)), np.float32)
        for i in some:
            row.fill(0)
            for value, column in zip(queries[i].tolist(), columns, strict=True):
                np.subtract(column, np.float32(value), out=part)
                np.multiply(part, part, out=part)
                np.add(row, part, out=row)
            work(row, i)

    with ThreadPoolExecutor(threads) as pool:
        if query.shape[1] <= DIRECT_DIMENSIONS:
            list(pool.map(direct, _shares(0, len(query), threads)))
            return
        for start in range(0, len(query), _chunk_size(len(reference))):
            stop = min(start + _chunk_size(len(reference)), len(query))
            block = squared_distances(queries[start:stop], reference.float()).numpy()

            def from_block(some: range, block: Floats = block, start: int = start) -> None:
                for i in some:
                    work(block[i - start], i)

            list(pool.map(from_block, _shares(start, stop, threads)))


def _shares(start: int, stop: int, threads: int) -> list[range]:
    return [range(start + i, stop, threads) for i in range(threads)]


def _keys(distances: Floats, positions: Integers) -> Integers:
    """Return integers that order like the distances, and ties among them like the positions.

    A non-negative float32 orders like its bit pattern.
    """
    return distances.view(np.int32).astype(np.int64) << 32 | positions


def _nearest_on_gpu(query: Tensor, reference: Tensor, k: int) -> Tensor:
    positions = torch.arange(len(reference), device=reference.device)
    bits = squared_distances(query, reference).view(torch.int32).to(torch.int64)
    keys = (bits << 32 | positions).topk(k, dim=1, largest=False, sorted=True).values
    return keys & POSITION


def squared_distances(query: Tensor, reference: Tensor) -> Tensor:
    """Return the squared L2 distances of every query to every reference.

    Args:
        query: float ``[Q, D]``.
        reference: float ``[N, D]``.

    Returns:
        float32 ``[Q, N]``, none below 0. In few dimensions the squared differences are summed, so
        that equal distances are exactly equal; in many the matrix product is used.
    """
    query, reference = query.float(), reference.float()
    if query.shape[1] <= DIRECT_DIMENSIONS:
        total = torch.zeros(len(query), len(reference), device=query.device)
        for q, r in zip(query.T, reference.T, strict=True):
            total += (q[:, None] - r[None, :]).square_()
        return total
    norms = query.square().sum(1)[:, None] + reference.square().sum(1)[None, :]
    # (adding 0 turns the -0.0 that the clamp may leave into 0.0: the ranking reads bits)
    return torch.addmm(norms, query, reference.T, alpha=-2).clamp_(min=0).add_(0.0)


def _chunk_size(references: int) -> int:
    return max(1, CHUNK_BYTES // (references * 20))


def _check(query: Tensor, query_labels: Tensor, reference: Tensor, labels: Tensor) -> None:
    for name, embeddings, its_labels in (
        ("query", query, query_labels),
        ("reference", reference, labels),
    ):
        if embeddings.ndim != 2 or its_labels.shape != embeddings.shape[:1] or not len(embeddings):
            raise InputError(
                f"{name}: embeddings [N, D] and labels [N] with N > 0 are needed; "
                f"got {list(embeddings.shape)} and {list(its_labels.shape)}"
            )
        if not embeddings.isfinite().all():
            raise InputError(f"{name}: some embeddings are not finite")
    if query.shape[1] != reference.shape[1]:
        raise InputError(
            f"query and reference differ in dimension: {query.shape[1]} and {reference.shape[1]}"
        )
    missing = set(query_labels.unique().tolist()) - set(labels.unique().tolist())
    if missing:
        raise InputError(f"no reference has the class of some queries: {sorted(missing)}")
