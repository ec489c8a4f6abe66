"""Which images are the queries, and which they are looked up among."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from guided_dml.errors import InputError
from guided_dml.types import Tensors


def sets_of(
    train_images: Tensors, test_images: Tensors, split: Tensors, queried: str
) -> dict[str, Tensors]:
    """Return the references and the queries of a protocol, in this order, by their names.

    Raises:
        InputError: There are no validation images to be the queries.
    """
    parts = [train_images, test_images]
    if queried != "test":
        if not len(split["validation"]):
            raise InputError(
                "evaluation.split: 'validation' given, but the split holds no validation images; "
                "data.validation_share has to be above 0, and some class of more than 2 images"
            )
        chosen = (split["train"], split["validation"])
        parts = [{key: some[rows] for key, some in train_images.items()} for rows in chosen]
    return dict(zip(names_of(queried), parts, strict=True))


def image_names_of(
    image_names: dict[str, list[str]], split: Tensors, queried: str
) -> dict[str, list[str]]:
    """Return what the images of the references and of the queries are called."""
    parts = [image_names["train"], image_names["test"]]
    if queried != "test":
        chosen = (split["train"].tolist(), split["validation"].tolist())
        parts = [[image_names["train"][row] for row in rows] for rows in chosen]
    return dict(zip(names_of(queried), parts, strict=True))


def names_of(queried: str) -> tuple[str, str]:
    """Return what the references and the queries are called."""
    return ("training images", f"{queried} images")


def as_bytes(names: Sequence[str]) -> NDArray[np.uint8]:
    """Return names as uint8 ``[N, longest]``, UTF-8, which can be stored beside the images."""
    return np.char.encode(names, "utf-8").view(np.uint8).reshape(len(names), -1)


def as_text(names: NDArray[np.uint8]) -> list[str]:
    """Return the names of :func:`as_bytes`."""
    return [row.tobytes().rstrip(b"\0").decode() for row in names]
