"""Exact retrieval metrics: Recall@k, R-Precision and MAP@R (Musgrave et al. 2020).

Neighbours are ranked by L2 distance in float32; of tied references the one with the lower
index comes first. Queries are never among the references.
"""

from __future__ import annotations

import torch
from torch import Tensor

from guided_dml.errors import InputError

#: The k of the reported Recall@k.
RECALL_AT = (1, 2, 4, 8)

#: Bytes that a chunk of queries may take for its distances and ranking keys.
CHUNK_BYTES = 200_000_000

#: Up to this dimension distances are summed coordinate by coordinate, without cancellation.
DIRECT_DIMENSIONS = 16


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
    sums = torch.zeros(2, dtype=torch.float64, device=query.device)
    recalls = []
    for label in query_labels.unique():
        of_class = query[query_labels == label]
        relevant = reference_labels == label
        total = int(relevant.sum())
        hits = torch.zeros(len(RECALL_AT), dtype=torch.float64, device=query.device)
        for chunk in of_class.split(_chunk_size(len(reference))):
            found = relevant[_nearest(chunk, reference, max(total, *RECALL_AT))]
            hits += torch.stack([found[:, :k].any(1).sum() for k in RECALL_AT])
            sums += _precision_sums(found[:, :total])
        recalls.append(hits / len(of_class))
    r_precision, map_at_r = (sums / len(query)).tolist()
    names = [f"recall_at_{k}" for k in RECALL_AT]
    macro = torch.stack(recalls).mean(0).tolist()
    return dict(zip(names, macro, strict=True)) | {
        "r_precision": r_precision,
        "map_at_r": map_at_r,
    }


def nearest(query: Tensor, reference: Tensor, k: int) -> Tensor:
    """Return the k nearest references of every query.

    Args:
        query: float ``[Q, D]``.
        reference: float ``[N, D]``, on the same device.
        k: How many; at most N are returned.

    Returns:
        int64 ``[Q, min(k, N)]``: indices into ``reference``, the nearest first.
    """
    chunks = query.split(_chunk_size(len(reference)))
    return torch.cat([_nearest(chunk, reference, k) for chunk in chunks])


def _precision_sums(found: Tensor) -> Tensor:
    """Sum R-Precision and MAP@R over queries.

    Args:
        found: bool ``[Q, R]``: whether the reference at each rank is of the query's class.
    """
    ranks = torch.arange(1, found.shape[1] + 1, device=found.device)
    precision = found.cumsum(1).double() / ranks
    return torch.stack([found.double().mean(1).sum(), (precision * found).mean(1).sum()])


def _nearest(query: Tensor, reference: Tensor, k: int) -> Tensor:
    # A non-negative float32 orders like its bit pattern, so distance and index fit into one
    # integer whose order breaks ties by index: the k smallest are then the same on any device.
    bits = squared_distances(query, reference).view(torch.int32).to(torch.int64)
    keys = bits << 32 | torch.arange(len(reference), device=reference.device)
    smallest = keys.topk(min(k, len(reference)), dim=1, largest=False, sorted=True).values
    return smallest & 0xFFFFFFFF


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
