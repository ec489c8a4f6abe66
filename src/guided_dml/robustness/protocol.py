"""Under which settings robustness means anything."""

from __future__ import annotations

from guided_dml.blocks import EvaluationParameters
from guided_dml.errors import InputError


def check_protocol(evaluation: EvaluationParameters) -> None:
    """Refuse settings under which robustness would be something else.

    Raises:
        InputError: The queries are the validation images, or networks adapt to what is shown.
    """
    if evaluation.split != "test":
        raise InputError(
            f"evaluation.split: {evaluation.split!r} given; robustness is measured on test images"
        )
    if evaluation.batch_statistics:
        raise InputError(
            "evaluation.batch_statistics: true given; a network that adapts to the images which "
            "it is shown cannot be measured on shifted ones; set it to false"
        )
