"""What an exported network says of new images; torch is not needed."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from guided_dml.blocks import InferenceParameters, PageParameters
from guided_dml.errors import InputError, counted
from guided_dml.inference.calibration import check_alpha
from guided_dml.inference.card import Card
from guided_dml.inference.images import Reader
from guided_dml.inference.predictor import BATCH, Predictor, thumbnail
from guided_dml.progress import progress_bar
from guided_dml.types import Table

logger = logging.getLogger(__name__)

#: Of a row of the predictions; the embedding follows, as e0, e1 ...
COLUMNS = [
    *("path", "label", "confidence", "distance", "p_value", "known", "nearest"),
    *("width", "height", "error", "model_version"),
]

#: What is told of neighbours, and the columns that it becomes (``number`` is for the page).
FOUND = {
    "neighbours": "name",
    "neighbour_labels": "label",
    "distances": "distance",
    "neighbour_numbers": "number",
}

#: Mean brightness that is so far from the training images', in standard deviations of their
#: pixels, is told: the network has seen chalk on a board, say, and this is ink on paper.
BRIGHTNESS = 0.75

#: Thumbnails that are kept for the page, at most.
THUMBNAILS = 10_000


def predict(
    new_images: dict[str, Reader],
    card: Card,
    network: bytes,
    gallery: dict[str, Any],
    gallery_names: list[str],
    calibration: dict[str, Any],
    model: dict[str, Any],
    inference: InferenceParameters,
    threads: int | None,
) -> tuple[Table, Table, dict[str, int], dict[str, Any]]:
    """Embed new images and say what they are.

    Args:
        new_images: By the path of each, what reads it.
        card: What the network expects.
        network: The content of its ONNX file.
        gallery: The training images' embeddings.
        gallery_names: What they are called.
        calibration: Distances of validation images.
        model: The export's description.
        inference: k and alpha.
        threads: Of onnxruntime.

    Returns:
        A row an image: its path, the answer, the embedding; of a file that cannot be read the
        ``error``. A row for each neighbour of an image. How many images there are, how many
        of them unknown, how many unreadable. And for the page thumbnails of readable images,
        ``images`` uint8 ``[T, C, h, w]`` and their ``rows`` among the readable, with the
        ``neighbours`` of all R readable, int64 ``[R, k]``, rows of the gallery of ``weights``.

    Raises:
        InputError: None of the images can be read.
    """
    import pandas as pd

    check_alpha(len(calibration["distances"]), inference.alpha)
    predictor = Predictor(card, network, gallery, gallery_names, calibration, threads)
    rows, near, embeddings = [], [], []
    thumbnails, means = dict[int, Any](), list[float]()
    every = -(-len(new_images) // THUMBNAILS)
    for read, pixels in _batches(new_images, card):
        rows += read
        for image in pixels:
            if len(means) % every == 0:
                thumbnails[len(means)] = thumbnail(image)
            means.append(float(image.mean()))
        if pixels:
            readable = [row for row in read if not row["error"]]
            answers = predictor.predict(np.stack(pixels), inference.k, inference.alpha)
            near += _write_answers(readable, predictor.rows(answers))
            embeddings.append(answers.embeddings)
    if not means:
        raise InputError(f"none of {len(rows)} images can be read; the first: {rows[0]['error']}")
    _compare_brightness(float(np.mean(means)), card)
    version = f"{model['name']}-{model['weights'][:12]}"  # (which tells an export from others)
    predictions = pd.DataFrame(rows).assign(model_version=version).reindex(columns=COLUMNS)
    predictions = predictions.astype({"known": "boolean", "width": "Int64", "height": "Int64"})
    read_rows = predictions.index[predictions["error"].isna()]
    vectors = pd.DataFrame(np.concatenate(embeddings), read_rows).add_prefix("e")
    predictions = predictions.join(vectors)
    unknown = int((~predictions["known"]).sum())
    report = {"images": len(rows), "unknown": unknown, "unreadable": len(rows) - len(means)}
    logger.info("\n%s", _summary(report, card, inference.alpha))
    neighbours = pd.DataFrame(near)
    found = neighbours.pop("number").to_numpy().reshape(len(means), -1)
    shown = {
        "images": np.stack([*thumbnails.values()]),
        "rows": np.array([*thumbnails]),
        "neighbours": found,
        "weights": card.weights,
    }
    return predictions, neighbours, report, shown


def write_inference_page(
    predictions: Table,
    neighbours: Table,
    shown: dict[str, Any],
    card: Card,
    gallery: dict[str, Any],
    gallery_images: dict[str, Any],
    gallery_names: list[str],
    run: str,
    page: PageParameters,
) -> str:
    """Return a page of the map with the new images on it, their nearest training images on click.

    Args:
        predictions: A row an image.
        neighbours: A row for each neighbour of an image.
        shown: Thumbnails and numbers of neighbours.
        card: What the network is.
        gallery: The training images' embeddings.
        gallery_images: Their thumbnails.
        gallery_names: What they are called.
        run: Whose network it is.
        page: Size of the page.
    """
    from guided_dml.figures.page import Choice, Group, Neighbours, PointImages, map_page
    from guided_dml.figures.plane import to_plane

    new = predictions[predictions["error"].isna()]
    labels = {name: label for label, name in enumerate(card.classes)}
    embeddings = new[[name for name in new if name[:1] == "e" and name[1:].isdigit()]]
    training, images = to_plane(
        {
            "training images": {**gallery, "names": gallery_names},
            "new images": {
                "embeddings": embeddings.to_numpy(np.float32),
                "labels": new["label"].map(labels).to_numpy(np.int64),
                "names": new["path"].tolist(),
            },
        }
    )
    distances = neighbours["distance"].to_numpy().reshape(len(new), -1)
    notes = [
        f"{confidence:.0%} of the nearest, p = {p:.3f}"
        for confidence, p in zip(new["confidence"], new["p_value"], strict=True)
    ]
    found = Neighbours(shown["neighbours"], distances, gallery=shown["weights"])
    unknown = {"unknown": ~new["known"].to_numpy(bool)}
    of_gallery = bytes(gallery["weights"]).hex()
    choices = [
        Choice(images, "new", "", unknown, notes, training.name, found),
        Choice(training, "training", gallery=of_gallery),
    ]
    pictures = {
        "new": PointImages(shown["images"], shown["rows"]),
        "training": PointImages(gallery_images["images"]),
    }
    group = Group("", card.classes, choices, one_window=True)
    return map_page(
        [group], pictures, f"{run}: new images among its training images", page.megabytes
    )


def _batches(
    new_images: dict[str, Reader], card: Card
) -> Iterator[tuple[list[dict[str, Any]], list[Any]]]:
    """Yield what is known of some images, and the pixels of those that can be read."""
    waiting = list(new_images.items())
    with progress_bar("new images", len(waiting)) as bar:
        for start in range(0, len(waiting), BATCH):
            read = [_read(path, reader, card) for path, reader in waiting[start : start + BATCH]]
            yield read, [image.pop("pixels") for image in read if not image["error"]]
            bar.update(len(read))


def _read(path: str, reader: Reader, card: Card) -> dict[str, Any]:
    """Return what an image is: its size and ``pixels``, or its ``error``."""
    try:
        read = reader(card.rules)
    except InputError as error:
        return {"path": path, "error": str(error)}
    height, width = read.size
    return {"path": path, "height": height, "width": width, "error": None, "pixels": read.pixels}


def _write_answers(
    images: list[dict[str, Any]], answers: Iterable[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Write the answers into the rows of the images, and return the rows of their neighbours."""
    near = []
    for image, told in zip(images, answers, strict=True):
        told["nearest"] = told["neighbours"][0]
        image |= {name: told[name] for name in COLUMNS if name in told}
        found = (told[name] for name in FOUND)
        near += [
            {"path": image["path"], "rank": rank, **dict(zip(FOUND.values(), one, strict=True))}
            for rank, one in enumerate(zip(*found, strict=True), start=1)
        ]
    return near


def _compare_brightness(found: float, card: Card) -> None:
    mean, deviation = (float(np.mean(card.normalisation[name])) for name in ("mean", "std"))
    if abs(found - mean) > BRIGHTNESS * deviation:
        logger.warning(
            "the new images are much %s than the training images (mean grey level %.0f, not %.0f): "
            "inverted, perhaps, or of another kind",
            *("brighter" if found > mean else "darker", found, mean),
        )


def _summary(report: dict[str, int], card: Card, alpha: float) -> str:
    return (
        f"{counted(report['images'], 'new image')} for {card.name}: {report['unknown']:,} unknown "
        f"(p <= {alpha:g}), {report['unreadable']:,} unreadable"
    )
