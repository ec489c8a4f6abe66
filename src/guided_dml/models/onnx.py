"""A trained network as one ONNX file, which takes images as they are stored."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from guided_dml.inference.card import Card
from guided_dml.models.backbones import embedder_of, split_head
from guided_dml.models.layers import UnitLength
from guided_dml.types import Tensors


class WholeNetwork(nn.Module):
    """From uint8 images to embeddings and features, with all that evaluation does to an image."""

    mean: Tensor
    std: Tensor

    def __init__(self, card: Card, weights: Tensors) -> None:
        """Build the network that a card describes."""
        super().__init__()
        self.trunk, self.head = split_head(embedder_of(card, weights))
        self.last = UnitLength() if card.unit_length else nn.Identity()
        self._flip_average = card.flip_average
        for name, values in card.normalisation.items():
            self.register_buffer(name, torch.tensor(values).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map uint8 ``[N, C, H, W]`` to embeddings, float32 ``[N, D]``, and features ``[N, F]``."""
        pixels = (images.float() - self.mean) / self.std
        features = self.trunk(pixels)
        embeddings = self.last(self.head(features))
        if self._flip_average:
            mirrored = self.trunk(pixels.flip(3))
            embeddings = self.last((embeddings + self.last(self.head(mirrored))) / 2)
            features = (features + mirrored) / 2
        return embeddings, features


def to_onnx(card: Card, weights: Tensors) -> bytes:
    """Return the content of an ``.onnx`` file: ``images`` in, ``embeddings`` and ``features`` out.

    The number of images is free. The hash of the weights is in its metadata, as ``weights``.
    """
    network = WholeNetwork(card, weights).eval()
    # Two images: an example of one would fix their number.
    example = torch.zeros(2, *card.image_shape, dtype=torch.uint8)
    options: dict[str, Any] = {
        "input_names": ["images"],
        "output_names": ["embeddings", "features"],
        "dynamic_shapes": {"images": {0: torch.export.Dim("batch", min=1)}},
    }
    noisy = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in noisy]
    try:
        for logger in noisy:
            logger.setLevel(logging.ERROR)
        with torch.no_grad(), warnings.catch_warnings(action="ignore"):
            program: Any = torch.onnx.export(
                network, (example,), dynamo=True, verbose=False, **options
            )
    finally:
        for logger, level in zip(noisy, levels, strict=True):
            logger.setLevel(level)
    model = program.model_proto
    model.metadata_props.add(key="weights", value=card.weights)
    content: bytes = model.SerializeToString()
    return content
