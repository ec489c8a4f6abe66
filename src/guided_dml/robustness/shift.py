"""What corruptions and another domain do to retrieval; references are always clean."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from statistics import fmean

from torch import Tensor

from guided_dml.metrics.retrieval import retrieval_scores
from guided_dml.robustness.names import FAMILIES, GEOMETRIC
from guided_dml.robustness.pairs import Pairs
from guided_dml.types import Tensors

#: A sum of errors that small is none.
ROUNDING = 1e-9

#: Recall@1 is that of all other tables: macro-averaged over the classes.
RETRIEVAL = ("recall_at_1", "map_at_r")


def headline_families(channels: int, shift: int) -> list[str]:
    """Return the families that the headline averages over.

    Not those that move pixels for colour images, as CIFAR-10-C has none of them; and not the one
    that the network's training has seen as augmentation.

    Args:
        channels: Of the images: 1 or 3.
        shift: By how many pixels the training moved them.
    """
    apart = {*(GEOMETRIC if channels == 3 else ()), *(("shift",) if shift else ())}
    return [family for family in FAMILIES if family not in apart]


def corruption_scores(
    reference: Tensors,
    clean: Tensors,
    corrupted: Iterable[tuple[str, Tensor]],
    *,
    channels: int,
    shift: int = 0,
    pixels: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Score corrupted queries against clean references.

    Args:
        reference: ``embeddings`` ``[N, D]`` and ``labels`` int64 ``[N]``.
        clean: The same of the Q queries before they are corrupted.
        corrupted: ``<family>.<severity>`` and the queries' embeddings ``[Q, D]``, in the same
            order; one after the other, so that not all need be held.
        channels: Of the images: 1 or 3.
        shift: ``student.shift`` of the recipe.
        pixels: What this function returned for raw pixels.

    Returns:
        ``recall_at_1``, ``map_at_r``, ``fmr`` and ``fnmr`` with ``.<family>.<severity>`` each, the
        last two at the distance where clean pairs have an FMR of 1 %. For each of the four,
        ``clean_...`` on the same images and ``corrupted_...``, the mean over
        :func:`headline_families` and severities; ``drop`` and ``drop_map_at_r`` between them; for
        colour images ``corrupted_..._geometric`` of those that move pixels, without a shift that
        training used. With ``pixels`` the errors
        of Recall@1 as shares of raw pixels': ``mce``, sums over the headline, and
        ``relative_mce``, of what they exceed the clean ones by. What cannot be known is left out.

    Raises:
        InputError: Embeddings and labels do not fit.
    """
    pairs = Pairs.of(clean, reference)
    threshold = pairs.scores()[1]
    scores = {f"clean_{name}": value for name, value in _scores(clean, reference).items()}
    if threshold is not None:
        scores |= {f"clean_{name}": value for name, value in pairs.rates(threshold).items()}
    for key, embeddings in corrupted:
        query = {"embeddings": embeddings, "labels": clean["labels"]}
        found = _scores(query, reference)
        if threshold is not None:
            found |= Pairs.of(query, reference).rates(threshold)
        scores |= {f"{name}.{key}": value for name, value in found.items()}
    headline = headline_families(channels, shift)
    scores |= _means(scores, headline, "")
    if channels == 3:
        moved = [family for family in GEOMETRIC if not (family == "shift" and shift)]
        scores |= _means(scores, moved, "_geometric")
    for name, drop in zip(RETRIEVAL, ("drop", "drop_map_at_r"), strict=True):
        if f"corrupted_{name}" in scores:
            scores[drop] = scores[f"clean_{name}"] - scores[f"corrupted_{name}"]
    return scores | (_against_pixels(scores, pixels, headline) if pixels else {})


def domain_scores(reference: Tensors, query: Tensors) -> dict[str, float]:
    """Return ``domain_recall_at_1`` and ``domain_map_at_r`` of queries of another domain.

    Args:
        reference: ``embeddings`` ``[N, D]`` and ``labels`` int64 ``[N]``.
        query: The same of images from elsewhere with the same classes.

    Raises:
        InputError: Embeddings and labels do not fit, or a class has no reference.
    """
    return {f"domain_{name}": value for name, value in _scores(query, reference).items()}


def _scores(query: Tensors, reference: Tensors) -> dict[str, float]:
    parts = (part[key] for part in (query, reference) for key in ("embeddings", "labels"))
    found = retrieval_scores(*parts)
    return {name: found[name] for name in RETRIEVAL}


def _means(scores: Mapping[str, float], families: Collection[str], ending: str) -> dict[str, float]:
    """Return the mean of each score over the severities of these families, where there are any."""
    means = {}
    for name in (*RETRIEVAL, "fmr", "fnmr"):
        values = [scores[key] for key in _keys(scores, name, families)]
        if values:
            means[f"corrupted_{name}{ending}"] = fmean(values)
    return means


def _keys(scores: Iterable[str], name: str, families: Collection[str]) -> list[str]:
    """Return ``<name>.<family>.<severity>`` of these families."""
    parts = ((key, key.split(".")) for key in scores)
    return [
        key for key, part in parts if part[0] == name and len(part) == 3 and part[1] in families
    ]


def _against_pixels(
    scores: Mapping[str, float], pixels: Mapping[str, float], families: Collection[str]
) -> dict[str, float]:
    """Return ``mce`` and ``relative_mce``, pooled; without errors of raw pixels neither."""
    keys = _keys(scores, "recall_at_1", families)
    if not all(key in pixels for key in keys):
        return {}
    ratios = {}
    for name, perfect in (("mce", None), ("relative_mce", "clean_recall_at_1")):
        ours, theirs = (
            sum((part[perfect] if perfect else 1.0) - part[key] for key in keys)
            for part in (scores, pixels)
        )
        if theirs > ROUNDING:
            ratios[name] = ours / theirs
    return ratios
