"""What a trained network expects and is: its card."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, NamedTuple

from guided_dml.errors import InputError, one_of
from guided_dml.inference.images import Resize, Rules


class Card(NamedTuple):
    """What a trained network expects and is.

    Attributes:
        method: Who trained it.
        seed: Of the training.
        image_shape: C (1 for grey, 3 for colour), H and W of the images.
        resize: Of an image of other proportions: ``squash``, ``crop`` or ``pad``.
        background: A colour, below transparent pixels and beside padded images.
        normalisation: ``mean`` and ``std`` of each channel, in grey levels of 0-255.
        classes: Their names; a label is an index into them.
        student: ``backbone``, ``stem``, ``embedding_dimension`` (D); of its training ``flip``,
            ``shift``, the file that it began with as ``pretrained``, where there was one, and
            ``average``: the weights are a running average that kept so much of itself a step.
        unit_length: Whether embeddings are scaled to length one.
        flip_average: Whether an image is embedded as the mean of itself and its mirror image.
        target_scale: The scale of the targets in training, undone in the weights; None where
            labels were learned, or the targets as they were.
        weights: SHA-256 of them.
        data_set: What the network learned from; the dataset adds it.
        made_by: Commit and library versions; the dataset adds them.
    """

    method: str
    seed: int
    image_shape: tuple[int, int, int]
    resize: Resize
    background: str
    normalisation: dict[str, list[float]]
    classes: list[str]
    student: dict[str, Any]
    unit_length: bool
    flip_average: bool
    target_scale: float | None
    weights: str
    data_set: str = ""
    made_by: dict[str, Any] = {}  # noqa: RUF012 (never changed)

    @classmethod
    def of(cls, stored: Mapping[str, Any], source: object) -> Card:
        """Return the card that was stored as JSON.

        Raises:
            InputError: It is none, or one of another version of the project.
        """
        fields = stored if isinstance(stored, Mapping) else {}
        lacking = set(cls._fields) - set(cls._field_defaults) - set(fields)
        strange = set(fields) - set(cls._fields)
        if lacking or strange:
            what = f"lacks {one_of(lacking)}" if lacking else f"has unknown {one_of(strange)}"
            raise InputError(f"{source}: not a card of this version: it {what}; train anew")
        if not _describes_a_network(fields):
            raise InputError(
                f"{source}: not a card of this version: its image_shape, student or normalisation "
                "is none; train anew"
            )
        return cls(**{**fields, "image_shape": tuple(fields["image_shape"])})

    @property
    def rules(self) -> Rules:
        """How an image is read for the network."""
        channels, height, width = self.image_shape
        return Rules((height, width), channels, self.resize, self.background)

    @property
    def name(self) -> str:
        """What the model is called where it is registered."""
        return f"{self.method}-{self.data_set}"


def _describes_a_network(fields: Mapping[str, Any]) -> bool:
    try:
        channels, height, width = fields["image_shape"]
        statistics = [fields["normalisation"][name] for name in ("mean", "std")]
        return (
            channels in (1, 3)
            and min(height, width) > 0
            and {"backbone", "stem", "embedding_dimension"} <= fields["student"].keys()
            and all(len(one) == channels and all(map(isfinite, one)) for one in statistics)
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return False
