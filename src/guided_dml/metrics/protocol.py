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


def image_names_of(
    image_names: dict[str, list[str]], split: Tensors, queried: str
) -> dict[str, list[str]]:
    """Return what the images of the references and of the queries are called."""
    train, test = image_names["train"], image_names["test"]
    if queried == "test":
        return dict(zip(names_of(queried), (train, test), strict=True))
    parts = ([train[row] for row in split[part].tolist()] for part in ("train", "validation"))
    return dict(zip(names_of(queried), parts, strict=True))


def names_of(queried: str) -> tuple[str, str]:
    """Return what the references and the queries are called."""
    return ("training images", f"{queried} images")
