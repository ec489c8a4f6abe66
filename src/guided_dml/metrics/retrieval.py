"""Exact retrieval metrics: Recall@k, R-Precision and MAP@R (Musgrave et al. 2020).

Neighbours are ranked by L2 distance, exactly: by the sum of squared differences in float64. Of tied
references the one with the lower index comes first. Queries are never among the references.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from guided_dml.errors import InputError
from guided_dml.metrics.distances import Integers, Near
from guided_dml.metrics.neighbours import OnGpu, check_dimensions, checked, for_each_group
from guided_dml.progress import progress_bar

#: The k of the reported Recall@k.
RECALL_AT = (1, 2, 4, 8)

Flags = NDArray[np.uint32]

#: Is told how many more queries are scored.
Report = Callable[[int], Any]


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
        ``recall_at_<k>`` for 1, 2, 4 and 8, ``r_precision`` and ``map_at_r``, each in [0, 1].

    Raises:
        InputError: Shapes do not fit, embeddings are not finite, or a query's class has no
            reference.
    """
    query = _checked("query", query, query_labels)
    reference = _checked("reference", reference, reference_labels)
    check_dimensions(query, reference)
    classes, ranks = reference_labels.unique(return_inverse=True)
    missing = query_labels[~torch.isin(query_labels, classes)].unique().tolist()
    if missing:
        raise InputError(f"no reference has the class of some queries: {missing}")
    score = _score_on_cpu if query.device.type == "cpu" else _score_on_gpu
    own_class = torch.searchsorted(classes, query_labels.contiguous())
    with progress_bar("retrieval", len(query), unit="queries") as bar:
        scores = score(query, own_class, reference, ranks, bar.update)
    return _means(scores, own_class.cpu().numpy())


def _means(scores: NDArray[np.float64], labels: Integers) -> dict[str, float]:
    """Average first relevant ranks, R-Precisions and MAPs, ``[Q, 3]``."""
    _, members, counts = np.unique(labels, return_inverse=True, return_counts=True)
    means = {}
    for k in RECALL_AT:
        hits = np.bincount(members, weights=scores[:, 0] <= k)
        means[f"recall_at_{k}"] = float((hits / counts).mean())
    _, r_precision, map_at_r = scores.mean(axis=0).tolist()
    return means | {"r_precision": r_precision, "map_at_r": map_at_r}


def _score_on_cpu(
    query: Tensor, query_labels: Tensor, reference: Tensor, reference_labels: Tensor, done: Report
) -> NDArray[np.float64]:
    """Return first relevant rank, R-Precision and MAP@R of each query: ``[Q, 3]``."""
    labels, of_references = query_labels.numpy(), reference_labels.numpy()
    total, enough = _ranks_that_count(labels, of_references)
    scores = np.empty((len(query), 3))

    def score(rows: Integers, near: Near) -> Integers:
        present, of = np.unique(labels[rows], return_inverse=True)
        own = (of_references[near.candidates] == present[:, None]).astype(np.uint32)[of]
        found, undecided = _own_in_order(near, own, enough[rows])
        scores[rows] = _scores(found, total[rows])
        done(len(rows) - len(undecided))
        return rows[undecided]

    for_each_group(query, reference, enough, score)
    return scores


def _score_on_gpu(
    query: Tensor, query_labels: Tensor, reference: Tensor, reference_labels: Tensor, done: Report
) -> NDArray[np.float64]:
    """Return the same; queries whose ranking is uncertain are scored on the CPU."""
    labels, of_references = query_labels.cpu(), reference_labels.cpu()
    total, enough = _ranks_that_count(labels.numpy(), of_references.numpy())
    scores, undecided = np.empty((len(query), 3)), np.empty(len(query), bool)
    centred = OnGpu(reference)
    for start in range(0, len(query), centred.chunk):
        rows = np.arange(start, min(start + centred.chunk, len(query)))
        places, close = centred.rank(query[rows], int(enough[rows].max()))
        own = reference_labels[places] == query_labels[rows, None]
        found = own.cpu().numpy().astype(np.uint32)
        undecided[rows] = _doubts(found, close.cpu().numpy(), enough[rows]).any(axis=1)
        scores[rows] = _scores(found, total[rows])
        done(len(rows))
    if undecided.any():
        some, again = (tensor[torch.from_numpy(undecided)] for tensor in (query.cpu(), labels))
        scores[undecided] = _score_on_cpu(
            some, again, reference.cpu(), of_references, lambda _: None
        )
    return scores


def _ranks_that_count(labels: Integers, of_references: Integers) -> tuple[Integers, Integers]:
    """Return how many references are of each query's class, and how many ranks its scores read."""
    total = np.bincount(of_references)[labels]
    return total, np.clip(total, RECALL_AT[-1], len(of_references))


def _scores(found: Flags, total: Integers) -> NDArray[np.float64]:
    """Return the scores of queries, ``[Q, 3]``.

    Args:
        found: uint32 ``[Q, n]``, 1 for a reference of the query's class, nearest first.
        total: ``[Q]``, how many there are.
    """
    near = found[:, : RECALL_AT[-1]]
    first = np.where(near.any(axis=1), near.argmax(axis=1) + 1, RECALL_AT[-1] + 1)
    among = found.cumsum(axis=1, dtype=np.uint32)
    r_precision = among[np.arange(len(total)), total - 1] / total
    among *= found
    weights = 1 / np.arange(1, found.shape[1] + 1)
    # (row by row: the order in which a matrix product adds up would depend on the chunk)
    sums = [row[:last] @ weights[:last] for row, last in zip(among, total, strict=True)]
    return np.stack([first, r_precision, sums / total], axis=1)


def _own_in_order(near: Near, own: Flags, enough: Integers) -> tuple[Flags, Integers]:
    """Return which of the nearest of each query are of its class, nearest first.

    Sorted are integers of 32 bits, several times faster than distances with their positions: the
    level of a distance, and below it whether the class is the query's. The order is in doubt only
    where references of its class and of others lie closer together than levels can tell apart.
    Those stretches are ranked by exact distances.

    Args:
        near: Levels ``[Q, C]``.
        own: uint32 ``[Q, C]``, 1 for a candidate of the query's class, else 0.
        enough: ``[Q]``, how many ranks count.

    Returns:
        ``own`` in that order, ``[Q, n]`` with n at least the largest of ``enough``; and the rows
        with more doubts than are worth exact distances yet.
    """
    keys, n = near.levels << np.uint32(1), int(enough.max()) + 1
    keys |= own
    if n < keys.shape[1]:
        keys.partition(n - 1, axis=1)
    keys = keys[:, :n]
    keys.sort(axis=1)
    found = keys & np.uint32(1)
    close = np.diff(keys, axis=1) <= 2 * near.apart + 1
    doubts = _doubts(found, close, enough)
    undecided = np.flatnonzero(doubts.any(axis=1))
    stretches = []
    for row in undecided:
        line, levels = keys[row] >> 1, near.levels[row]
        doubtful, gaps = doubts[row].nonzero()[0], (~close[row]).nonzero()[0]
        start = gaps[gaps < doubtful[0]].max(initial=-1) + 1
        after = gaps[gaps > doubtful[-1]]
        end = line[after[0]] if len(after) else line[-1] + near.apart
        stretches.append((start, ((levels >= line[start]) & (levels <= end)).nonzero()[0]))
    if not near.decides(sum(len(columns) for _, columns in stretches)):
        return found, undecided
    for row, (start, columns) in zip(undecided, stretches, strict=True):
        order = columns[near.exact(row, columns).argsort(kind="stable")]
        places = found[row, start : start + len(order)]
        places[:] = own[row, order[: len(places)]]
    return found, undecided[:0]


def _doubts(found: Flags, close: NDArray[np.bool_], enough: Integers) -> NDArray[np.bool_]:
    """Return after which ranks the order is in doubt and matters, bool ``[Q, n - 1]``.

    It matters between a reference of the query's class and another, and at the last of the
    ``enough`` ranks that count, as what comes behind may be of either.

    Args:
        found: ``[Q, n]``, whether a reference is of the query's class, nearest first.
        close: bool ``[Q, n - 1]``, whether the next is too close to be surely further away.
        enough: ``[Q]``.
    """
    doubts: NDArray[np.bool_] = found[:, 1:] != found[:, :-1]
    for row, last in zip(doubts, enough, strict=True):
        row[last - 1 : last] = True
        row[last:] = False
    doubts &= close
    return doubts


def _checked(name: str, embeddings: Tensor, labels: Tensor) -> Tensor:
    if labels.shape != embeddings.shape[:1]:
        raise InputError(
            f"{name}: a label for each embedding is needed; "
            f"got {list(embeddings.shape)} and {list(labels.shape)}"
        )
    return checked(name, embeddings)
