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
            _check(query, labels, reference, reference_labels)
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

    References of the class of all queries of the group, nearer to each than any other, need no
    ranking.
    """
    own = of_candidates == labels[:, None]
    first_other = np.where(own, np.float32(np.inf), distances).min()
    contested = np.flatnonzero(distances.max(axis=0) >= first_other)
    free = len(of_candidates) - len(contested)
    if free >= total.max():
        return np.ones((len(labels), 3))
    keys = ordered_keys(distances[:, contested], np.arange(len(contested)))
    ranked = smallest(keys, max(total.max(), RECALL_AT[-1]) - free) & POSITION
    found = of_candidates[contested][ranked] == labels[:, None]
    first = np.where(found.any(axis=1), found.argmax(axis=1) + 1, RECALL_AT[-1] + 1)
    ranks = np.arange(free + 1, free + 1 + found.shape[1])
    found &= ranks <= total[:, None]
    among = found.cumsum(axis=1, dtype=np.float64)
    r_precision = (free + among[:, -1]) / total
    among += free
    among *= found
    map_at_r = (free + among @ (1 / ranks)) / total
    return np.stack([np.ones_like(first) if free else first, r_precision, map_at_r], axis=1)


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
