"""Images that no network was trained on: made sets, other data sets, another domain."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from guided_dml.errors import InputError, one_of
from guided_dml.robustness.names import MADE_SETS
from guided_dml.seeding import derived_seed
from guided_dml.types import Tensors

Images = NDArray[np.uint8]
#: What loads the test images of each stored version of every data set, by its place.
Stored = Mapping[str, Callable[[], Tensors]]

#: A crop of a photograph is so many times as wide as the image that it becomes.
CROP = 4

#: Of the digits' new side, the part that they fill: as MNIST's do.
FILLED = 20 / 28

#: What grey is made of.
LUMINANCE = (0.299, 0.587, 0.114)


def made_set(name: str, like: Images, seed: int) -> tuple[Images, str]:
    """Return an out-of-distribution set of the size and number of given images.

    Args:
        name: ``photographs``, crops of scikit-learn's two; ``permuted``, the images with their
            pixels in another order, the same for all; ``noise``, uniform and independent.
        like: uint8 ``[N, C, H, W]``.
        seed: Of what is drawn.

    Returns:
        uint8 ``[N, C, H, W]``, and how they were made.
    """
    rng = np.random.default_rng(derived_seed(seed, f"set {name}"))
    count, channels, height, width = like.shape
    if name == "noise":
        return rng.integers(0, 256, like.shape, np.uint8), "uniform noise, each value by itself"
    if name == "permuted":
        order = rng.permutation(height * width)
        pixels = like.reshape(count, channels, -1)[:, :, order]
        return pixels.reshape(like.shape), "the test images, their pixels in one other order"
    from sklearn.datasets import load_sample_images

    pictures = load_sample_images().images
    have = pictures[0].shape[:2]
    size = [CROP * height, CROP * width]
    if size[0] > have[0] or size[1] > have[1]:  # (of large images: as they are, if they suffice)
        size = [min(sides) for sides in zip((height, width), have, strict=True)]
    crops = []
    for number in range(count):
        picture = pictures[number % len(pictures)]
        y, x = (rng.integers(picture.shape[axis] - size[axis] + 1) for axis in (0, 1))
        crops.append(_resized(picture[y : y + size[0], x : x + size[1]], (height, width)))
    images = np.stack(crops).transpose(0, 3, 1, 2)
    how = f"crops of {size[0]}x{size[1]} pixels of scikit-learn's two photographs, resized"
    return _with_channels(images, channels), how


def matched(images: Images, shape: tuple[int, int, int]) -> tuple[Images, str]:
    """Bring images of another data set to a size and a number of channels.

    Args:
        images: uint8 ``[N, C, H, W]``.
        shape: C, H and W that are wanted.

    Returns:
        uint8 of that shape, and what was done.
    """
    channels, *size = shape
    how, given = [], images.shape[1:]
    images = _with_channels(images, channels)
    if given[0] != channels:
        how.append("grey made RGB" if channels == 3 else "RGB made grey")
    smaller = [min(have, wanted) for have, wanted in zip(given[1:], size, strict=True)]
    if smaller != [*given[1:]]:
        channel_last = (_resized(image.transpose(1, 2, 0), smaller) for image in images)
        images = np.stack([*channel_last]).transpose(0, 3, 1, 2)
        how.append(f"{given[1]}x{given[2]} made {smaller[0]}x{smaller[1]}")
    if smaller != size:
        images = _padded(images, size)
        how.append(f"padded with black to {size[0]}x{size[1]}")
    return np.ascontiguousarray(images), ", ".join(how) or "as they are"


def digits_domain(classes: list[str], shape: tuple[int, int, int]) -> tuple[Images, Any, str]:
    """Return scikit-learn's digits as images of another domain with the same classes.

    Args:
        classes: Names of those that a network knows.
        shape: C, H and W of its images.

    Returns:
        uint8 ``[N, C, H, W]``, int64 labels ``[N]``, indices into ``classes``, and what was done.

    Raises:
        InputError: None of the classes is a digit.
    """
    from sklearn.datasets import load_digits

    digits, numbers = load_digits(), digits_among(classes)
    labels = np.array([numbers.get(str(digit), -1) for digit in digits.target])
    size = [round(FILLED * side) for side in shape[1:]]
    grey = np.round(digits.images[labels >= 0] * (255 / 16)).astype(np.uint8)
    large = np.stack([_resized(image[:, :, None], size) for image in grey]).transpose(0, 3, 1, 2)
    how = f"scikit-learn's digits, enlarged to {size[0]}x{size[1]} and padded with black"
    images = _padded(_with_channels(large, shape[0]), shape[1:])
    return images, labels[labels >= 0].astype(np.int64), how


def digits_among(classes: list[str]) -> dict[str, int]:
    """Return the labels of those classes that are digits.

    Raises:
        InputError: None is.
    """
    # (torchvision calls MNIST's classes "0 - zero")
    names = [name.partition(" - ")[0] for name in classes]
    numbers = {name: label for label, name in enumerate(names) if name in set("0123456789")}
    if not numbers:
        raise InputError(
            f"robustness.domain: the digits 0 to 9 are no classes of this data set, which has "
            f"{one_of(classes)}; set it to null"
        )
    return numbers


def stored_images(stored: Stored, name: str) -> tuple[Images, str]:
    """Return the stored test images of a data set, and their version.

    Of several versions, which may hold some of the classes or of the images only, it is the newest
    of those that hold the most.

    Raises:
        InputError: There are none, or none that can be read.
    """
    found = {}
    for place, load in versions_of(stored, name).items():
        with suppress(Exception):  # (damaged: others may be whole)
            found[place] = load()["images"]
    if not found:
        raise InputError(
            f"robustness.ood: the stored images of {name!r} are damaged; run kedro run "
            f"--env={name} --pipelines=ingestion again"
        )
    place = max(found, key=lambda place: (len(found[place]), place))
    return found[place].numpy(), place.strip("/").split("/")[-1]


def versions_of(stored: Stored, name: str) -> Stored:
    """Return what loads the versions of a data set's test images.

    Raises:
        InputError: There are none.
    """
    versions = {place: load for place, load in stored.items() if place.split("/")[0] == name}
    if not versions:
        raise InputError(
            f"robustness.ood: no images of {name!r} are stored; first run kedro run --env={name} "
            f"--pipelines=ingestion; without other data sets there are {one_of(MADE_SETS)}"
        )
    return versions


def _with_channels(images: Images, channels: int) -> Images:
    if images.shape[1] == channels:
        return images
    if channels == 3:
        return np.repeat(images, 3, axis=1)
    grey: Images = np.rint(np.tensordot(images, LUMINANCE, axes=(1, 0))).astype(np.uint8)
    return grey[:, None]


def _resized(image: Images, size: Any) -> Images:
    """Return an image ``[H, W, C]`` of another size, averaged where it becomes smaller."""
    from PIL import Image

    height, width = size
    grey = image.shape[2] == 1
    picture = Image.fromarray(image[:, :, 0] if grey else image)
    found = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))
    return found[:, :, None] if grey else found


def _padded(images: Images, size: Any) -> Images:
    """Return images ``[N, C, H, W]`` in the middle of black ones."""
    gaps = [wanted - have for wanted, have in zip(size, images.shape[2:], strict=True)]
    return np.pad(images, [(0, 0), (0, 0), *((gap // 2, gap - gap // 2) for gap in gaps)])
