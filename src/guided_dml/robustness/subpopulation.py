"""The worst class, and what a long-tailed gallery does to retrieval."""

from __future__ import annotations

from collections.abc import Container

import numpy as np
from numpy.typing import NDArray

from guided_dml.metrics.neighbours import nearest
from guided_dml.seeding import derived_seed
from guided_dml.types import Tensors

Integers = NDArray[np.int64]

#: How many times as many references as the smallest class the largest keeps.
IMBALANCE_FACTORS = (10, 50, 100)

#: References that the smallest class of a long-tailed gallery keeps, at least.
SMALLEST_TAIL = 10

#: References are long-tailed where the largest class has so many times as many as the smallest.
LONG_TAILED = 2

THIRDS = ("head", "middle", "tail")


def subpopulation_scores(reference: Tensors, query: Tensors, split_seed: int) -> dict[str, float]:
    """Score the classes apart, with all references and with long-tailed ones.

    The network stays as it is: only references are left out, so that class sizes fall
    exponentially in an order that ``split_seed`` draws. A larger imbalance factor keeps a part of
    what a smaller one keeps.

    Args:
        reference: ``embeddings`` ``[N, D]`` and ``labels`` int64 ``[N]``.
        query: The same of the queries.
        split_seed: Of the order of the classes and the choice of the references.

    Returns:
        ``recall.<class>``, the share of a class's queries whose nearest reference is of it;
        ``recall_at_1``, their mean, and ``worst_class_recall``, their minimum. With
        ``.long_tail_<factor>`` the last two in a long-tailed gallery, and ``recall_head``,
        ``recall_middle`` and ``recall_tail`` of a third of the classes each, the largest first;
        factors that leave the smallest class fewer than 10 references are left out. Where the
        references are long-tailed themselves, the thirds of all of them as well.

    Raises:
        InputError: There is no query or no reference, or embeddings do not fit.
    """
    labels = reference["labels"].cpu().numpy()
    classes, sizes = np.unique(labels, return_counts=True)
    recalls = recall_of_classes(reference, query)
    scores = {f"recall.{label}": recall for label, recall in recalls.items()}
    order = classes[(-sizes).argsort(kind="stable")].tolist()
    long_tailed = sizes.max() >= LONG_TAILED * sizes.min()
    scores |= _summary(recalls, order, thirds=bool(long_tailed))
    for factor in IMBALANCE_FACTORS:
        tail = long_tail(labels, factor, split_seed)
        if tail is None:
            continue
        order, rows = tail
        recalls = recall_of_classes({key: some[rows] for key, some in reference.items()}, query)
        found = _summary(recalls, order, thirds=True)
        scores |= {f"{name}.long_tail_{factor}": value for name, value in found.items()}
    return scores


def factors_left_out(scores: Container[str]) -> str:
    """Return the imbalance factors that scores lack, told; empty if there are all."""
    lacking = [n for n in IMBALANCE_FACTORS if f"recall_at_1.long_tail_{n}" not in scores]
    return ", ".join(map(str, lacking))


def _summary(recalls: dict[int, float], order: list[int], *, thirds: bool) -> dict[str, float]:
    """Return the mean of the classes, their minimum, and the means of thirds of ``order``."""
    parts = {"recall_at_1": order}
    if thirds:
        for third, some in zip(THIRDS, np.array_split(order, 3), strict=True):
            parts[f"recall_{third}"] = some.tolist()
    known = {name: [recalls[c] for c in some if c in recalls] for name, some in parts.items()}
    found = {name: float(np.mean(values)) for name, values in known.items() if values}
    return found | {"worst_class_recall": min(recalls.values())}


def recall_of_classes(reference: Tensors, query: Tensors) -> dict[int, float]:
    """Return for each class of the queries the share that 1-NN gives its label."""
    rows = nearest(query["embeddings"], reference["embeddings"], k=1)[:, 0]
    right = (reference["labels"][rows] == query["labels"]).double()
    return {
        label: float(right[query["labels"] == label].mean())
        for label in query["labels"].unique().tolist()
    }


def long_tail(
    labels: Integers, factor: float, seed: int, smallest: int = SMALLEST_TAIL
) -> tuple[list[int], Integers] | None:
    """Choose images so that class sizes fall exponentially (Cao et al. 2019).

    Class c of C, counted from 0 in the order that the seed draws, keeps
    ``floor(n * factor ** (-c / (C - 1)))`` images, where n is the size of the smallest class: so
    every class has as many, whatever the order.

    Args:
        labels: int64 ``[N]``.
        factor: Of the largest to the smallest class.
        seed: Of the order of the classes and the choice of images.
        smallest: What the last class has to keep.

    Returns:
        The classes, the largest first, and the rows that are kept, ascending. None if the last
        class would keep fewer than ``smallest``, or there is but one.
    """
    classes, sizes = np.unique(labels, return_counts=True)
    rng = np.random.default_rng(derived_seed(seed, "long tail"))
    order = rng.permutation(classes)
    ranks = np.arange(len(classes)) / max(1, len(classes) - 1)
    # (what rounding leaves below a whole number is one)
    counts = np.floor(sizes.min() * factor**-ranks + 1e-9).astype(int)
    if len(classes) < 2 or counts[-1] < smallest:
        return None
    shuffled = (rng.permutation(np.flatnonzero(labels == label)) for label in order)
    kept = [rows[:count] for rows, count in zip(shuffled, counts, strict=True)]
    return order.tolist(), np.sort(np.concatenate(kept))
