"""From images to embeddings, with a trained network or with none."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from guided_dml.blocks import ComputeParameters, EvaluationParameters
from guided_dml.errors import InputError
from guided_dml.inference.card import Card
from guided_dml.training.policy import Policy
from guided_dml.types import Tensors


class Embed(Protocol):
    """What embeds images."""

    def __call__(self, images: Tensor, name: str = "images") -> Tensor:
        """Return ``[N, D]`` on the CPU from uint8 ``[N, C, H, W]``; ``name`` is what they are."""


def embedder(
    weights: Tensors | None,
    card: Card | None,
    evaluation: EvaluationParameters,
    compute: ComputeParameters,
    *,
    both: bool = False,
) -> Embed:
    """Return what embeds images: a trained network, or raw pixels.

    Args:
        weights: The network's; None: pixels stay as they are, uint8 ``[N, C * H * W]``.
        card: What that network is; None with ``weights``.
        evaluation: Images a batch, whether they are averaged with their mirror images, and how
            batch-norm behaves.
        compute: Where to compute.
        both: Where images are averaged with their mirror images, return their own embeddings as
            well, behind the means: ``[N, 2 * D]``.

    Raises:
        InputError: The weights are not those of the card; or, of what is returned, images are not
            of the shape that the network expects.
    """
    if weights is None or card is None:
        return lambda images, name="": images.flatten(1)  # noqa: ARG005
    from guided_dml.models.backbones import embedder_of
    from guided_dml.models.layers import FlipAverage
    from guided_dml.training.batches import DeviceImages
    from guided_dml.training.embed import embed

    policy = Policy.of(compute)
    network, expected = embedder_of(card, weights), card.image_shape
    if evaluation.flip_average:
        network = FlipAverage(network, unit_length=card.unit_length, both=both)
    policy.place(network)

    def by_network(images: Tensor, name: str = "images") -> Tensor:
        if images.shape[1:] != expected:
            raise InputError(
                f"images of {list(images.shape[1:])} (channels, height, width) given; the network "
                f"of {card.method} expects {list(expected)}"
            )
        return embed(
            network,
            DeviceImages(images, card.normalisation, policy.device),
            policy,
            batch_size=evaluation.batch_size,
            batch_statistics=evaluation.batch_statistics,
            description=f"embedding {name}",
        )

    return by_network
