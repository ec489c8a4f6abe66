"""A trained network as files that need neither torch nor the project."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from guided_dml.blocks import ComputeParameters
from guided_dml.errors import InputError
from guided_dml.inference.calibration import calibration_of
from guided_dml.inference.card import Card
from guided_dml.inference.predictor import BATCH, Network, thumbnail
from guided_dml.types import Tensors

#: How far embeddings of onnxruntime may be from PyTorch's, in parts of their largest value:
#: float32 sums in another order differ by about 1e-6.
TOLERANCE = 1e-4

#: Validation images that are compared, at most.
COMPARED = 1000


def export_network(
    weights: Tensors, card: Card, train_images: Tensors, split: Tensors, compute: ComputeParameters
) -> tuple[bytes, dict[str, float]]:
    """Export the network, and hold it against PyTorch's on validation images.

    Args:
        weights: The trained network's.
        card: What that network is.
        train_images: The training set.
        split: ``validation``: the images to compare on.
        compute: ``threads``.

    Returns:
        The content of an ONNX file: uint8 ``[N, C, H, W]`` in, ``embeddings`` float32 ``[N, D]``
        and ``features`` ``[N, F]`` out; and how close it is to PyTorch.

    Raises:
        InputError: There are no validation images, or the embeddings differ.
    """
    import torch

    from guided_dml.models.onnx import WholeNetwork, to_onnx

    rows = split["validation"]
    if not len(rows):
        raise InputError(
            "export needs validation images, which the network never learned from; run ingestion "
            "with a data.validation_share above 0 and three or more training images of a class, "
            "and train anew"
        )
    content = to_onnx(card, weights)
    images = train_images["images"][rows[:: -(-len(rows) // COMPARED)]]
    with torch.inference_mode():
        network = WholeNetwork(card, weights).eval()
        expected = [[part.numpy() for part in network(some)] for some in images.split(BATCH)]
    found = Network(content, compute.threads)(images.numpy())
    names, parity = ("embeddings", "features"), {"images": float(len(images))}
    for name, parts, ours in zip(names, zip(*expected, strict=True), found, strict=True):
        theirs = np.concatenate(parts)
        largest = float(np.abs(theirs).max()) or 1.0
        parity[f"{name}_difference"] = float(np.abs(ours - theirs).max()) / largest
        if not parity[f"{name}_difference"] <= TOLERANCE:
            raise InputError(
                f"the exported network's {name} differ from PyTorch's by "
                f"{parity[f'{name}_difference']:.1e} of their largest value, {TOLERANCE:.0e} is "
                "allowed; nothing is stored"
            )
    return content, parity


def embed_gallery(
    network: bytes,
    card: Card,
    train_images: Tensors,
    split: Tensors,
    image_names: dict[str, list[str]],
    compute: ComputeParameters,
) -> tuple[dict[str, Any], list[str], dict[str, Any]]:
    """Embed all training images with the exported network.

    Returns:
        ``embeddings`` float32 ``[M, D]``, ``features`` float16 ``[M, F]``, ``labels`` and
        ``numbers`` (of the images in the training set) int64 ``[M]``, ``learned`` uint8 ``[M]``, 1
        for those of ``split.train``, and ``weights``, the hash of the network's, uint8 ``[32]``;
        the names of the M images; and ``images``, they themselves, uint8 ``[M, C, h, w]``, with
        rows and columns left out where they are larger than a thumbnail.
    """
    from guided_dml.progress import progress_bar

    run, images, made = Network(network, compute.threads), train_images["images"], []
    with progress_bar("embedding the gallery", len(images)) as bar:
        for some in images.split(16 * BATCH):
            embeddings, features = run(some.numpy())
            made.append((embeddings, features.astype(np.float16)))
            bar.update(len(some))
    embeddings, features = (np.concatenate(parts) for parts in zip(*made, strict=True))
    learned = np.zeros(len(images), np.uint8)
    learned[split["train"].numpy()] = 1
    gallery = {
        "embeddings": embeddings,
        "features": features,
        "labels": train_images["labels"].numpy(),
        "numbers": np.arange(len(images)),
        "learned": learned,
        "weights": np.frombuffer(bytes.fromhex(card.weights), np.uint8),
    }
    return gallery, image_names["train"], {"images": thumbnail(images.numpy())}


def calibrate(gallery: dict[str, Any], card: Card) -> dict[str, Any]:
    """Measure how far validation images are from the images that the network learned from.

    Returns:
        What :func:`guided_dml.inference.calibration.calibration_of` returns, with the hash of the
        network's ``weights``.
    """
    learned = gallery["learned"] == 1
    parts = [
        gallery[name][rows] for rows in (learned, ~learned) for name in ("embeddings", "labels")
    ]
    return {"weights": card.weights} | calibration_of(*parts)


def describe_model(
    card: Card,
    network: bytes,
    gallery: dict[str, Any],
    gallery_names: list[str],
    calibration: dict[str, Any],
    parity: dict[str, float],
) -> dict[str, Any]:
    """Say what an export consists of; that this is stored says that it is whole.

    Returns:
        The model's name, sizes, the parity with PyTorch, and the validation images' accuracy.
    """
    verification, coverage = calibration["verification"], calibration["coverage"]
    return {
        "name": card.name,
        "weights": card.weights,
        "network_sha256": hashlib.sha256(network).hexdigest(),
        "network_megabytes": round(len(network) / 1e6, 2),
        "gallery_images": len(gallery_names),
        "gallery_megabytes": round(sum(part.nbytes for part in gallery.values()) / 1e6, 2),
        "names_sha256": hashlib.sha256(json.dumps(gallery_names).encode()).hexdigest(),
        "parity": parity,
        "validation_accuracy": coverage[0]["accuracy"],
        "equal_error_rate": verification["eer"],
    }
