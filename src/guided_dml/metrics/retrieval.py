"""Exact retrieval metrics: Recall@k, R-Precision and MAP@R (Musgrave et al. 2020).

Neighbours are ranked by L2 distance in float32; of tied references the one with the lower
index comes first. Queries are never among the references.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from guided_dml.errors import InputError
from guided_dml.metrics.neighbours import (
    POSITION,
    Floats,
    Integers,
    chunk_size,
    for_each_group,
    nearest_on_gpu,
    ordered_keys,
    smallest,
)
from guided_dml.progress import progress_bar

#: The k of the reported Recall@k.
RECALL_AT = (1, 2, 4, 8)

Flags = NDArray[np.bool_]

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
        ``recall_at_1``, ``recall_at_2``, ``recall_at_4``, ``recall_at_8``, ``r_precision`` and
        ``map_at_r``, each in [0, 1].

    Raises:
        InputError: Shapes do not fit, embeddings are not finite, or a query's class has no
            reference.
    """
    return streamed_retrieval_scores([(query, query_labels)], reference, reference_labels)


def streamed_retrieval_scores(
    queries: Iterable[tuple[Tensor, Tensor]],
    reference: Tensor,
    reference_labels: Tensor,
    total: int | None = None,
) -> dict[str, float]:
    """Score queries that come in chunks, say while they are embedded; none of them is kept.

    Args:
        queries: Chunks of embeddings, float ``[Q, D]``, and their labels, int64 ``[Q]``.
            Chunks of thousands are fastest on a CPU, where close queries share work.
        reference: float ``[N, D]``, on the device of the queries.
        reference_labels: int64 ``[N]``.
        total: Queries in all, for the progress bar; not needed for a list.

    Returns:
        As :func:`retrieval_scores`; the chunks do not matter.

    Raises:
        InputError: As there, or there is no query.
    """
    if total is None and isinstance(queries, list):
        total = sum(len(labels) for _, labels in queries)
    classes, ranks = reference_labels.unique(return_inverse=True)
    parts, labels_of_parts = [], []
    with progress_bar("retrieval", total, unit="queries") as bar:
        for query, labels in queries:
            _check(query, labels, reference, reference_labels, classes)
            score = _score_on_cpu if query.device.type == "cpu" else _score_on_gpu
            own_class = torch.searchsorted(classes, labels)
            parts.append(score(query.float(), own_class, reference.float(), ranks, bar.update))
            labels_of_parts.append(own_class.cpu().numpy())
    if not parts:
        raise InputError("query: there is none")
    return _means(np.concatenate(parts), np.concatenate(labels_of_parts))


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
    relevant = np.bincount(of_references)
    enough = np.minimum(np.maximum(relevant[labels], RECALL_AT[-1]), len(reference))
    scores = np.empty((len(query), 3))

    def score(rows: Integers, candidates: Integers, distances: Floats) -> None:
        total = relevant[labels[rows]]
        scores[rows] = _score_group(distances, of_references[candidates], labels[rows], total)
        done(len(rows))

    for_each_group(query, reference, enough, score)
    return scores


def _score_group(
    distances: Floats, of_candidates: Integers, labels: Integers, total: Integers
) -> NDArray[np.float64]:
    """Score queries from the distances and labels of their candidates, ``total`` of their class.

    References of the class of all these queries, nearer to each than any other reference to any,
    need no ranking.
    """
    own = of_candidates == labels[:, None]
    first_other = distances.min(axis=0)[~own.all(axis=0)].min(initial=np.inf)
    contested = np.flatnonzero(distances.max(axis=0) >= first_other)
    free = len(of_candidates) - len(contested)
    if free >= total.max():
        return np.ones((len(labels), 3))
    if free:
        distances, own = distances.take(contested, axis=1), own.take(contested, axis=1)
    # (1 at the ranks of a reference of the query's class)
    found = _own_in_order(distances, own, max(total.max(), RECALL_AT[-1]) - free)
    near = found[:, : RECALL_AT[-1]]
    first = np.where(near.any(axis=1), near.argmax(axis=1) + 1, RECALL_AT[-1] + 1)
    for row, of_class in zip(found, total - free, strict=True):
        row[of_class:] = 0
    among = found.cumsum(axis=1, dtype=np.uint32)
    r_precision = (free + among[:, -1]) / total
    among += np.uint32(free)
    among *= found
    ranks = np.arange(free + 1, free + 1 + found.shape[1])
    map_at_r = (free + among @ (1 / ranks)) / total
    return np.stack([np.ones_like(first) if free else first, r_precision, map_at_r], axis=1)


def _own_in_order(distances: Floats, own: Flags, n: int) -> NDArray[np.uint32]:
    """Return which of the ``n`` nearest of each query are of its class, nearest first.

    Sorted are integers of half the length of :func:`ordered_keys`, several times faster: the bits
    of a distance, and below them whether the class is the query's. Where references of its class
    and of others are equally far, the index decides, which is not in there: the stretch from a
    row's first such tie to its last is ranked again, by the long keys.

    Args:
        distances: float32 ``[Q, C]``.
        own: bool ``[Q, C]``, whether a reference is of the query's class.
        n: How many.

    Returns:
        uint32 ``[Q, min(n, C)]``, 1 for a reference of the query's class, else 0.
    """
    bits = distances.view(np.uint32)
    keys = bits << np.uint32(1)
    keys |= own
    keys = smallest(keys, n + 1)
    mixed = (keys[:, 1:] ^ keys[:, :-1]) == 1
    mixed[:, -1:] |= keys[:, -1:] == keys[:, -2:-1]  # (a tie that goes on beyond the end may be)
    found = keys[:, :n] & np.uint32(1)
    for row in np.flatnonzero(mixed.any(axis=1)):
        ties = keys[row, 1:][mixed[row]] >> 1
        stretch = np.flatnonzero((bits[row] >= ties[0]) & (bits[row] <= ties[-1]))
        places = found[row, keys[row].searchsorted(ties[0] << 1) :]
        long_keys = ordered_keys(distances[row : row + 1, stretch], stretch)
        ranked = smallest(long_keys, len(places))[0] & POSITION
        places[: len(ranked)] = own[row, ranked]
    return found


def _score_on_gpu(
    query: Tensor, query_labels: Tensor, reference: Tensor, reference_labels: Tensor, done: Report
) -> NDArray[np.float64]:
    """Return first relevant rank, R-Precision and MAP@R of each query: ``[Q, 3]``."""
    scores = torch.empty(len(query), 3, dtype=torch.float64, device=query.device)
    for label in query_labels.unique():
        own = reference_labels == label
        total = int(own.sum())
        enough = min(max(total, RECALL_AT[-1]), len(reference))
        ranks = torch.arange(1, total + 1, device=query.device)
        of_class = (query_labels == label).nonzero().flatten()
        for rows in of_class.split(chunk_size(len(reference))):
            found = own[nearest_on_gpu(query[rows], reference, enough)]
            first = torch.where(found.any(1), found.int().argmax(1) + 1, RECALL_AT[-1] + 1)
            among = found[:, :total]
            precision = among.cumsum(1).double() / ranks
            scores[rows, 0] = first.double()
            scores[rows, 1] = among.double().mean(1)
            scores[rows, 2] = (precision * among).mean(1)
            done(len(rows))
    return scores.cpu().numpy()


def _check(
    query: Tensor, query_labels: Tensor, reference: Tensor, labels: Tensor, classes: Tensor
) -> None:
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
    missing = query_labels[~torch.isin(query_labels, classes)].unique().tolist()
    if missing:
        raise InputError(f"no reference has the class of some queries: {missing}")
