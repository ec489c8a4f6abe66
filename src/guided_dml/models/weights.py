"""Weights as flat dictionaries of tensors, as they are stored."""

from __future__ import annotations

import hashlib
import json

from torch import Tensor, nn, uint8

from guided_dml.errors import InputError, last_line


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Return the model's weights and buffers by name: contiguous copies on the CPU."""
    return {name: value.cpu().contiguous().clone() for name, value in model.state_dict().items()}


def load_weights(model: nn.Module, weights: dict[str, Tensor], block: str) -> None:
    """Put stored weights into ``model``.

    Args:
        model: The network that the current parameters describe.
        weights: By name.
        block: The parameters that describe the network, for the message.

    Raises:
        InputError: The weights are of another architecture.
    """
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(
            f"the stored weights do not fit the network that the parameters {block}.* describe "
            f"({last_line(error)}); use the parameters that they were trained with, or train anew"
        ) from error


def hash_of_weights(weights: dict[str, Tensor]) -> str:
    """Return SHA-256 of names, shapes and bytes."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        value = weights[name].cpu().contiguous()
        digest.update(json.dumps([name, str(value.dtype), list(value.shape)]).encode())
        digest.update(value.flatten().view(uint8).numpy().data)
    return digest.hexdigest()
