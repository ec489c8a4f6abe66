"""From images to embeddings, with a trained network or with none."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from guided_dml.errors import InputError
from guided_dml.inference.card import Card
from guided_dml.training.policy import Policy
from guided_dml.types import Tensors

#: From uint8 ``[N, C, H, W]`` to ``[N, D]`` on the CPU.
Embed = Callable[[Tensor], Tensor]


def embedder(weights: Tensors | None, card: Card | None, policy: Policy, batch_size: int) -> Embed:
    """Return what embeds images: a trained network, as its card says, or raw pixels.

    Args:
        weights: The network's; None: pixels stay as they are, uint8 ``[N, C * H * W]``.
        card: What that network is; None with ``weights``.
        policy: Where to compute.
        batch_size: Images a batch, without effect on the result.

    Raises:
        InputError: The weights are not those of the card; or, of what is returned, images are not
            of the shape that the network expects.
    """
    if weights is None or card is None:
        return lambda images: images.flatten(1)
    from guided_dml.models.backbones import embedder_of
    from guided_dml.models.layers import FlipAverage
    from guided_dml.training.batches import DeviceImages
    from guided_dml.training.embed import embed

    network, expected = embedder_of(card, weights), card.image_shape
    if card.flip_average:
        network = FlipAverage(network, unit_length=card.unit_length)
    policy.place(network)

    def by_network(images: Tensor) -> Tensor:
        if images.shape[1:] != expected:
            raise InputError(
                f"images of {list(images.shape[1:])} (channels, height, width) given; the network "
                f"of {card.method} expects {list(expected)}"
            )
        if not len(images):
            return torch.zeros(0, card.student["embedding_dimension"])
        on_device = DeviceImages(images, card.normalisation, policy.device)
        return embed(network, on_device, policy, batch_size=batch_size)

    return by_network
