"""Exporting the reduced hypothesis space."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guided_dml.blocks import ComputeParameters, GeminiParameters
from guided_dml.types import Figure, History, Plot, Tensors

if TYPE_CHECKING:
    from guided_dml.figures.plane import Points


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
    model = Gemini.seeded(0, pixels.shape[1:], int(labels.max()) + 1, gemini, embedding_dimension)
    load_weights(model, gemini_weights, "gemini")
    policy.place(model)
    return {
        "embeddings": embed_by_class(model, images, labels, split["train"], policy),
        "labels": labels[split["train"]],
    }


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
    from guided_dml.figures.style import run_title

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
) -> str:
    """Return a self-contained HTML page of the teacher's embedding, with images on hover."""
    from guided_dml.figures import page
    from guided_dml.figures.style import run_title

    points = _points(teacher_embeddings, image_names, split, page.MOST_POINTS)
    images = train_images["images"][split["train"][points.rows]].numpy()
    heading = f"{run_title(gemini_run, gemini_history)}: {GOALS}"
    return page.embedding_page([(points, images)], classes, heading)


def _points(
    embeddings: Tensors, image_names: dict[str, list[str]], split: Tensors, most: int
) -> Points:
    from guided_dml.figures.plane import to_plane

    names = [image_names["train"][row] for row in split["train"].tolist()]
    arrays = {name: tensor.numpy() for name, tensor in embeddings.items()}
    (points,) = to_plane({SET: {**arrays, "names": names}}, most)
    return points
