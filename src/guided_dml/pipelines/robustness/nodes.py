"""Embedding what a network was not trained for, and scoring it; the same for raw pixels."""

from __future__ import annotations

import logging

from guided_dml.blocks import ComputeParameters, EvaluationParameters
from guided_dml.errors import InputError
from guided_dml.inference.card import Card
from guided_dml.types import Tensors

logger = logging.getLogger(__name__)

Scores = dict[str, float]


def flatten_pixels(train_images: Tensors, test_images: Tensors) -> tuple[Tensors, Tensors]:
    """Return raw pixels in the place of embeddings: of the references and of the queries."""
    reference, query = (
        {"embeddings": part["images"].flatten(1), "labels": part["labels"]}
        for part in (train_images, test_images)
    )
    return reference, query


def score_corruptions(
    reference_embeddings: Tensors,
    query_embeddings: Tensors,
    corrupted_images: Tensors,
    domain_images: Tensors,
    shift: int,
    evaluation: EvaluationParameters,
    compute: ComputeParameters,
    beside: Scores | None = None,
    weights: Tensors | None = None,
    card: Card | None = None,
) -> Scores:
    """Score corrupted queries, and those of another domain, against the clean references.

    Args:
        reference_embeddings: Of all training images.
        query_embeddings: Of all test images.
        corrupted_images: ``rows`` of the test images, and ``<family>.<severity>`` of them.
        domain_images: ``images`` and ``labels`` of another domain; or nothing.
        shift: ``student.shift``, of raw pixels; a network's own is on its card. The family of that
            name is nothing new to who trained with it.
        evaluation: How images are embedded.
        compute: Where to compute.
        beside: The scores of raw pixels; None for these themselves.
        weights: Of the network; None: raw pixels are scored.
        card: Of the network.
    """
    from guided_dml.robustness.shift import corruption_scores, domain_scores
    from guided_dml.training.embedders import embedder

    embed = embedder(weights, card, evaluation, compute)
    shift = card.student.get("shift", shift) if card else shift
    rows = corrupted_images["rows"]
    clean = {name: values[rows] for name, values in query_embeddings.items()}
    shifted = {name: images for name, images in corrupted_images.items() if name != "rows"}
    scores = corruption_scores(
        reference_embeddings,
        clean,
        ((name, embed(images)) for name, images in shifted.items()),
        channels=next(iter(shifted.values())).shape[1],
        shift=shift,
        pixels=beside,
    )
    if domain_images:
        query = {"embeddings": embed(domain_images["images"]), "labels": domain_images["labels"]}
        scores |= domain_scores(reference_embeddings, query)
    return scores


def embed_ood(
    ood_images: Tensors,
    evaluation: EvaluationParameters,
    compute: ComputeParameters,
    weights: Tensors | None = None,
    card: Card | None = None,
) -> Tensors:
    """Return the embeddings of each OOD set, by its name."""
    from guided_dml.training.embedders import embedder

    embed = embedder(weights, card, evaluation, compute)
    return {name: embed(images) for name, images in ood_images.items()}


def score_ood(
    reference_embeddings: Tensors,
    query_embeddings: Tensors,
    ood_embeddings: Tensors,
    split: Tensors,
    head: Tensors | None = None,
) -> tuple[Scores, Tensors]:
    """Return what :func:`guided_dml.robustness.ood.ood_scores` finds."""
    import torch

    from guided_dml.robustness.ood import ood_scores

    scores, shown = ood_scores(reference_embeddings, query_embeddings, ood_embeddings, split, head)
    return scores, {name: torch.tensor(values) for name, values in shown.items()}


def score_subpopulations(
    reference_embeddings: Tensors, query_embeddings: Tensors, classes: list[str], split_seed: int
) -> Scores:
    """Score the classes apart, with all references and with long-tailed ones."""
    from guided_dml.robustness.subpopulation import (
        SMALLEST_TAIL,
        factors_left_out,
        subpopulation_scores,
    )

    scores = subpopulation_scores(reference_embeddings, query_embeddings, split_seed)
    left_out = factors_left_out(scores)
    if left_out:
        logger.info(
            "no long-tailed gallery of factor %s: its last class would have fewer than %d images",
            left_out,
            SMALLEST_TAIL,
        )
    named = {f"recall.{label}": f"recall.{name}" for label, name in enumerate(classes)}
    return {named.get(name, name): value for name, value in scores.items()}


def choose_map_images(test_images: Tensors, most: int, split_seed: int) -> Tensors:
    """Return the test images whose map is scored, of each class its share, and their ``rows``."""
    import torch

    from guided_dml.robustness.maps import stratified_rows

    rows = torch.from_numpy(stratified_rows(test_images["labels"].numpy(), most, split_seed))
    return {"rows": rows, **{name: part[rows] for name, part in test_images.items()}}


def score_map(
    reference_embeddings: Tensors, query_embeddings: Tensors, map_images: Tensors
) -> Scores:
    """Score the map that embeddings make of some of the test images."""
    from guided_dml.robustness.maps import map_of_embeddings, map_scores, ranks

    points = query_embeddings["embeddings"][map_images["rows"]]
    drawn = map_of_embeddings(reference_embeddings["embeddings"], points)
    pixel_ranks = ranks(map_images["images"].flatten(1))
    return map_scores(drawn, reference_embeddings["labels"], map_images["labels"], pixel_ranks)


def map_pixels(
    train_images: Tensors, map_images: Tensors, split_seed: int
) -> tuple[Scores, Tensors]:
    """Score the maps that PCA, LDA and NCA make of pixels, and the pixels themselves.

    Returns:
        ``<score>.<rival>``, and the ``neighbourhood_hit`` of the pixels, which are no map; and by
        rival where it puts the images, float32 ``[n, 2]``.
    """
    import torch

    from guided_dml.robustness.maps import map_scores, neighbourhood_hit, ranks, rival_maps

    images, labels = map_images["images"], map_images["labels"]
    pixel_ranks = ranks(images.flatten(1))
    scores = neighbourhood_hit(pixel_ranks, labels)
    maps = rival_maps(train_images, images, split_seed)
    for name, drawn in maps.items():
        found = map_scores(drawn, train_images["labels"], labels, pixel_ranks)
        scores |= {f"{score}.{name}": value for score, value in found.items()}
    return scores, {name: torch.from_numpy(drawn.query) for name, drawn in maps.items()}


def score_unseen(
    reference_embeddings: Tensors,
    query_embeddings: Tensors,
    unseen_train_images: Tensors,
    unseen_test_images: Tensors,
    split: Tensors,
    episodes: int,
    split_seed: int,
    evaluation: EvaluationParameters,
    compute: ComputeParameters,
    weights: Tensors | None = None,
    card: Card | None = None,
    head: Tensors | None = None,
) -> Scores:
    """Score classes that were not trained on: told apart, retrieved, learned from a few images.

    Args:
        reference_embeddings: Of all training images.
        query_embeddings: Of all test images of the same classes.
        unseen_train_images: Of the other classes.
        unseen_test_images: Of the other classes; none: there is nothing to score.
        split: Which references the network learned from.
        episodes: Of few-shot classification.
        split_seed: Of the episodes, the same for all methods.
        evaluation: How images are embedded.
        compute: Where to compute.
        weights: Of the network; None: raw pixels are scored.
        card: Of the network.
        head: Of a network that classifies.
    """
    from guided_dml.robustness.unseen import (
        few_shot_scores,
        open_set_scores,
        unseen_retrieval_scores,
    )
    from guided_dml.training.embedders import embedder

    if not len(unseen_test_images["labels"]):
        logger.info("no test images of classes left out (data.classes): nothing unseen to score")
        return {}
    embed = embedder(weights, card, evaluation, compute)
    reference, query = (
        {"embeddings": embed(part["images"]), "labels": part["labels"]}
        for part in (unseen_train_images, unseen_test_images)
    )
    known = (reference_embeddings, query_embeddings)
    scores = open_set_scores(*known, query["embeddings"], split, head)
    scores |= unseen_retrieval_scores(reference, query, split_seed)
    try:
        return scores | few_shot_scores(query, episodes, split_seed)
    except InputError as error:  # (one class, or of too few images: the other scores are known)
        logger.warning("left out: %s", error)
        return scores
