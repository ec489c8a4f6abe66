"""Exporting the reduced hypothesis space."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from guided_dml.blocks import ComputeParameters, GeminiParameters, PageParameters
from guided_dml.metrics.names import CONVERGED
from guided_dml.pipelines.steps import run_title
from guided_dml.types import Figure, History, Plot, Tensors

if TYPE_CHECKING:
    from guided_dml.figures.plane import Points

logger = logging.getLogger(__name__)


def embed_with_gemini(
    gemini_weights: Tensors,
    train_images: Tensors,
    normalisation: dict[str, list[float]],
    split: Tensors,
    gemini: GeminiParameters,
    embedding_dimension: int,
    raw_pixel_training: bool,
    compute: ComputeParameters,
) -> Tensors:
    """Embed ``split.train`` with the frozen master (paper, Eq. 6).

    Args:
        gemini_weights: The trained master.
        train_images: The training set.
        normalisation: Its mean and standard deviation.
        split: ``train``: the images to embed.
        gemini: Architecture.
        embedding_dimension: D.
        raw_pixel_training: Whether the master was trained on 0-255 pixels.
        compute: Where to compute.

    Returns:
        ``embeddings`` float32 ``[M, D]`` and ``labels`` int64 ``[M]`` in the order of
        ``split.train``.
    """
    from guided_dml.models.gemini import Gemini
    from guided_dml.models.weights import load_weights
    from guided_dml.training.batches import DeviceImages
    from guided_dml.training.embed import embed_by_class
    from guided_dml.training.policy import Policy

    policy = Policy.of(compute)
    pixels, labels = train_images["images"], train_images["labels"]
    images = DeviceImages(pixels, None if raw_pixel_training else normalisation, policy.device)
    model = Gemini(0, pixels.shape[1:], int(labels.max()) + 1, gemini, embedding_dimension)
    load_weights(model, gemini_weights, "gemini")
    policy.place(model)
    return {
        "embeddings": embed_by_class(model, images, labels, split["train"], policy),
        "labels": labels[split["train"]],
    }


def assess_teacher(
    teacher_embeddings: Tensors, triplets: Tensors, split: Tensors, margin: float
) -> dict[str, float]:
    """Measure how far the master has converged, on the images that it was trained on.

    Args:
        teacher_embeddings: Of ``split.train``.
        triplets: The stored ones.
        split: ``train``: the embedded images.
        margin: m of GEMINI's cost.

    Returns:
        ``nearest_centre_distance``, the smallest between two class centres;
        ``own_centre_distance``, the mean of an embedding's to its class's centre;
        ``centre_ratio``, the first over the second; ``triplet_violation``, the share of triplets
        whose negative is not a margin farther than the positive, and ``triplet_hinge``, what they
        lack of it, as a mean over all; ``scale``, the embeddings' RMS distance from their mean.
    """
    import torch

    from guided_dml.losses import distances, spread

    z, labels = teacher_embeddings["embeddings"].double(), teacher_embeddings["labels"]
    counts = labels.bincount()
    centres = z.new_zeros(len(counts), z.shape[1]).index_add(0, labels, z) / counts[:, None]
    nearest, own = torch.pdist(centres).min(), distances(z, centres[labels]).mean()
    place = torch.zeros(int(split["train"].max()) + 1, dtype=torch.int64)
    place[split["train"]] = torch.arange(len(z))
    anchors, positives, negatives = (
        z[place[triplets[name].flatten()]] for name in ("anchors", "positives", "negatives")
    )
    hinge = distances(anchors, positives) - distances(anchors, negatives) + margin
    ratio = nearest / own.clamp(min=torch.finfo(torch.float32).eps)
    if ratio < CONVERGED:
        logger.warning(
            "GEMINI has not converged: its two nearest class centres are %.2f apart and its "
            "embeddings on average %.2f from their own; below %g times as far, students learn "
            "poorly from it (more gemini.epochs, gemini.momentum=0.9 or "
            "gemini.fresh_triplets=true take the classes apart, gemini.weight_decay=0.02 and a "
            "lower gemini.margin keep each together)",
            nearest,
            own,
            CONVERGED,
        )
    scores = {
        "nearest_centre_distance": nearest,
        "own_centre_distance": own,
        "centre_ratio": ratio,
        "triplet_violation": (hinge > 0).double().mean(),
        "triplet_hinge": hinge.clamp(min=0).mean(),
        "scale": spread(z),
    }
    return {name: score.item() for name, score in scores.items()}


#: What the figures call the embedded set, and what they show.
SET, GOALS = "training images through GEMINI", "where each training image should go"


def draw_teacher(
    teacher_embeddings: Tensors,
    image_names: dict[str, list[str]],
    split: Tensors,
    classes: list[str],
    gemini_history: History,
    gemini_run: str,
) -> tuple[Figure, Plot]:
    """Draw the teacher's embedding: a picture beside GEMINI's loss, and an interactive plot."""
    from guided_dml.figures import scatter

    points = _points(teacher_embeddings, image_names, split, scatter.MOST_POINTS)
    heading = f"{run_title(gemini_run, gemini_history)}: {GOALS}"
    return (
        scatter.teacher_figure(points, gemini_history, classes, heading),
        scatter.embedding_plot([points], classes, heading),
    )


def write_teacher_page(
    teacher_embeddings: Tensors,
    train_images: Tensors,
    image_names: dict[str, list[str]],
    split: Tensors,
    classes: list[str],
    gemini_history: History,
    gemini_run: str,
    page: PageParameters,
) -> str:
    """Return a self-contained HTML page of the teacher's embedding, with images on hover."""
    from guided_dml.figures.page import Choice, Group, PointImages, map_page

    points = _points(teacher_embeddings, image_names, split)
    images = train_images["images"][split["train"]].numpy()
    heading = f"{run_title(gemini_run, gemini_history)}: {GOALS}"
    group = Group("", classes, [Choice(points, SET)])
    return map_page([group], {SET: PointImages(images)}, heading, page.megabytes)


def _points(
    embeddings: Tensors, image_names: dict[str, list[str]], split: Tensors, most: int | None = None
) -> Points:
    from guided_dml.figures.plane import to_plane

    names = [image_names["train"][row] for row in split["train"].tolist()]
    (points,) = to_plane({SET: {**embeddings, "names": names}}, most)
    return points
