"""Which images are the queries, and which they are looked up among."""

from guided_dml.types import Tensors


def sets_of(
    train_images: Tensors, test_images: Tensors, split: Tensors, queried: str
) -> dict[str, Tensors]:
    """Return the references and the queries of a protocol, in this order, by their names."""
    if queried == "test":
        return dict(zip(names_of(queried), (train_images, test_images), strict=True))
    parts = (
        {key: tensor[split[part]] for key, tensor in train_images.items()}
        for part in ("train", "validation")
    )
    return dict(zip(names_of(queried), parts, strict=True))


def names_of(queried: str) -> tuple[str, str]:
    """Return what the references and the queries are called."""
    return ("training images", f"{queried} images")
