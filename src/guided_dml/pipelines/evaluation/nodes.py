"""Embedding, scoring and drawing, the same for every method."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from guided_dml.blocks import ComputeParameters, EvaluationParameters, PageParameters
from guided_dml.inference.card import Card
from guided_dml.metrics.names import WITHOUT_FLIP_AVERAGE
from guided_dml.metrics.protocol import image_names_of, sets_of
from guided_dml.pipelines.steps import run_title
from guided_dml.types import Figure, History, Plot, Tensors

if TYPE_CHECKING:
    from torch import Tensor

    from guided_dml.figures.plane import Points

logger = logging.getLogger(__name__)

#: Neighbours that the retrieval sheet and the page show of each query.
NEIGHBOURS = 8

#: What a picture of embeddings shows.
PUTS = "where the network puts the images"


def embed_images(
    weights: Tensors,
    card: Card,
    train_images: Tensors,
    test_images: Tensors,
    split: Tensors,
    evaluation: EvaluationParameters,
    compute: ComputeParameters,
) -> tuple[Tensors, Tensors]:
    """Embed the references and the queries with a trained network.

    On ``test`` the queries are the test set and the references all training images; on
    ``validation`` the queries are ``split.validation`` and the references ``split.train``.

    Args:
        weights: The trained network's.
        card: What that network is.
        train_images: The training set.
        test_images: The test set.
        split: The parts of the training set.
        evaluation: Which protocol, and how batch-norm behaves.
        compute: Where to compute.

    Returns:
        References and queries, each ``embeddings`` float32 ``[N, D]`` and ``labels`` int64
        ``[N]``, in the order of the images; with flip averaging also what the images embed as
        alone, ``unaveraged`` float32 ``[N, D]``.
    """
    from guided_dml.training.embedders import embedder

    sets = sets_of(train_images, test_images, split, evaluation.split)
    embed = embedder(weights, card, evaluation, compute, both=True)
    if evaluation.flip_average != card.flip_average:
        logger.warning(
            "evaluation.flip_average is %s here, and %s where the network was trained, as an "
            "export will do it",
            *(str(value).lower() for value in (evaluation.flip_average, card.flip_average)),
        )

    def embedded(name: str) -> Tensors:
        found, labels = embed(sets[name]["images"], name), sets[name]["labels"]
        if not evaluation.flip_average:
            return {"embeddings": found, "labels": labels}
        mean, own = (half.contiguous() for half in found.chunk(2, dim=1))
        return {"embeddings": mean, "unaveraged": own, "labels": labels}

    reference, query = map(embedded, sets)
    return reference, query


def score_embeddings(
    reference_embeddings: Tensors, query_embeddings: Tensors, compute: ComputeParameters, seed: int
) -> dict[str, float]:
    """Score the queries against the references (method of the paper's section 4).

    Args:
        reference_embeddings: Of the references.
        query_embeddings: Of the queries.
        compute: Where to compute.
        seed: Seed of the k-means starts behind NMI.

    Returns:
        Recall@1, 2, 4 and 8, R-Precision, MAP@R, F1, NMI and accuracy, each in [0, 1]; with flip
        averaging also those without it, the names ending in ``without_flip_average``.
    """
    from guided_dml.training.policy import Policy

    device, scores = Policy.of(compute).device, dict[str, float]()
    sets = (query_embeddings, reference_embeddings)
    labels = [part["labels"].to(device) for part in sets]
    for name, ending in (("embeddings", ""), ("unaveraged", WITHOUT_FLIP_AVERAGE)):
        if name in query_embeddings:
            query, reference = (part[name].to(device) for part in sets)
            found = _scores(query, labels[0], reference, labels[1], seed)
            scores |= {score + ending: value for score, value in found.items()}
    return scores


def _scores(
    query: Tensor, query_labels: Tensor, reference: Tensor, reference_labels: Tensor, seed: int
) -> dict[str, float]:
    from guided_dml.metrics.classification import classification_scores
    from guided_dml.metrics.clustering import nmi
    from guided_dml.metrics.neighbours import nearest
    from guided_dml.metrics.retrieval import retrieval_scores

    predicted = reference_labels[nearest(query, reference, k=1)[:, 0]]
    return (
        retrieval_scores(query, query_labels, reference, reference_labels)
        | classification_scores(query_labels, predicted)
        | {"nmi": nmi(query, query_labels, seed=seed % 2**32)}
    )


def draw_loss(history: History, run: str) -> Figure:
    """Draw loss and learning rate over the epochs."""
    from guided_dml.figures.curves import loss_figure

    return loss_figure(history, f"{run_title(run, history)}: training of the embedding network")


def draw_embeddings(
    reference_embeddings: Tensors,
    query_embeddings: Tensors,
    image_names: dict[str, list[str]],
    split: Tensors,
    classes: list[str],
    queried: str,
    history: History,
    run: str,
) -> tuple[Figure, Plot]:
    """Draw references and queries in the plane: a picture, and an interactive plot."""
    from guided_dml.figures import scatter

    names = image_names_of(image_names, split, queried)
    points = _points(reference_embeddings, query_embeddings, names, scatter.MOST_POINTS)
    heading = f"{run_title(run, history)}: {PUTS}"
    return (
        scatter.embedding_figure(points, classes, heading),
        scatter.embedding_plot(points, classes, heading),
    )


def write_embedding_page(
    reference_embeddings: Tensors,
    query_embeddings: Tensors,
    train_images: Tensors,
    test_images: Tensors,
    image_names: dict[str, list[str]],
    split: Tensors,
    classes: list[str],
    queried: str,
    history: History,
    run: str,
    page: PageParameters,
) -> str:
    """Return a self-contained HTML page of the embedding, with the image under the pointer.

    A query brings its nearest references, and whether the nearest is of another class.
    """
    from guided_dml.figures.page import Choice, Group, Neighbours, PointImages, map_page
    from guided_dml.robustness.scorer import distances

    sets = sets_of(train_images, test_images, split, queried)
    names = image_names_of(image_names, split, queried)
    references, queries = _points(reference_embeddings, query_embeddings, names)
    query, reference = query_embeddings["embeddings"], reference_embeddings["embeddings"]
    rows, apart = distances(query, reference, NEIGHBOURS)
    wrong = reference_embeddings["labels"][rows[:, 0]] != query_embeddings["labels"]
    choices = [
        Choice(references, references.name),
        Choice(
            queries,
            queries.name,
            flags={"nearest image is of another class": wrong.numpy()},
            reference=references.name,
            neighbours=Neighbours(rows, apart),
        ),
    ]
    pictures = {name: PointImages(part["images"].numpy()) for name, part in sets.items()}
    group = Group("", classes, choices, one_window=True)
    return map_page([group], pictures, f"{run_title(run, history)}: {PUTS}", page.megabytes)


def draw_neighbours(
    reference_embeddings: Tensors,
    query_embeddings: Tensors,
    train_images: Tensors,
    test_images: Tensors,
    image_names: dict[str, list[str]],
    split: Tensors,
    classes: list[str],
    queried: str,
    history: History,
    run: str,
) -> Figure:
    """Draw queries with their nearest references, wrong ones marked."""
    from guided_dml.figures.retrieval_sheet import Pictures, queries_to_show, retrieval_figure
    from guided_dml.metrics.neighbours import nearest

    query, reference = query_embeddings["embeddings"], reference_embeddings["embeddings"]
    labels, neighbours = query_embeddings["labels"], nearest(query, reference, k=NEIGHBOURS)
    right = reference_embeddings["labels"][neighbours[:, 0]] == labels
    rows = queries_to_show(labels.numpy(), right.numpy())
    names = image_names_of(image_names, split, queried)
    found, asked = (
        Pictures(part["images"].numpy(), part["labels"].numpy(), names[name])
        for name, part in sets_of(train_images, test_images, split, queried).items()
    )
    many = neighbours.shape[1]
    heading = (
        f"{run_title(run, history)}: queries and their {many} nearest training images\n"
        "the first query of each class, then the first whose nearest image is wrong (red)"
    )
    return retrieval_figure(asked, found, classes, neighbours[rows].numpy(), rows, heading)


def _points(
    reference: Tensors, query: Tensors, names: dict[str, list[str]], most: int | None = None
) -> list[Points]:
    from guided_dml.figures.plane import to_plane

    sets = zip(names, (reference, query), strict=True)
    return to_plane({name: {**part, "names": names[name]} for name, part in sets}, most)
