"""Cards of networks that no training made."""

from __future__ import annotations

from typing import Any

from guided_dml.blocks import StudentParameters
from guided_dml.inference.card import Card
from guided_dml.models.weights import hash_of_weights
from guided_dml.pipelines.student.nodes import NETWORK
from guided_dml.types import Tensors


def card_of(
    weights: Tensors,
    student: StudentParameters,
    normalisation: dict[str, list[float]],
    image_shape: tuple[int, int, int] = (1, 8, 8),
    **others: Any,
) -> Card:
    """Return the card of a student's weights."""
    fields: dict[str, Any] = {
        "method": "guided",
        "seed": 0,
        "resize": "squash",
        "background": "white",
        "classes": list("abc"),
        "unit_length": False,
        "flip_average": False,
        "target_scale": None,
        "data_set": "digits",
    }
    return Card(
        image_shape=image_shape,
        normalisation=normalisation,
        student={name: getattr(student, name) for name in NETWORK},
        weights=hash_of_weights(weights),
        **fields | others,
    )
