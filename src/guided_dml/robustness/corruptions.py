"""Corrupted images: 12 families in 5 severities, after MNIST-C and CIFAR-10-C.

The values are those of MNIST-C (Mu and Gilmer 2019) for grey images and of CIFAR-10-C (Hendrycks
and Dietterich 2019) for colour. They are not those data sets: families were left out and added,
they hold for any size, and what is drawn is drawn from generators of our own.

All that is drawn are uniform numbers, from which the noise is computed: the same on every machine,
whatever the version of numpy, and whatever number of images is corrupted at once.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from io import BytesIO
from math import ceil, cos, sin
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from scipy.special import ndtr, ndtri, pdtr

from guided_dml.errors import known
from guided_dml.robustness.names import FAMILIES, SEVERITIES

Images = NDArray[np.uint8]
Levels = NDArray[Any]
Values = tuple[float, float, float, float, float]

#: By severity, of grey images; some are shares of the side of MNIST's images.
GREY: dict[str, Values] = {
    "gaussian_noise": (0.08, 0.12, 0.18, 0.26, 0.38),
    "shot_noise": (60, 25, 12, 5, 3),
    "impulse_noise": (0.03, 0.06, 0.09, 0.17, 0.27),
    "contrast": (0.4, 0.3, 0.2, 0.1, 0.05),
    "brightness": (0.1, 0.2, 0.3, 0.4, 0.5),
    "jpeg": (25, 18, 15, 10, 7),
    "pixelate": (0.6, 0.5, 0.4, 0.3, 0.25),
    "gaussian_blur": (0.5, 0.8, 1.2, 1.6, 2.2),
    "rotate": (0.2, 0.4, 0.6, 0.8, 1),
    "shear": (0.2, 0.4, 0.6, 0.8, 1),
    "shrink": (0.9, 0.8, 0.7, 0.6, 0.5),
    "shift": (1, 2, 3, 4, 5),
}

#: By severity, of colour images; the geometric ones are those of grey images.
COLOUR: dict[str, Values] = GREY | {
    "gaussian_noise": (0.04, 0.06, 0.08, 0.09, 0.10),
    "shot_noise": (500, 250, 100, 75, 50),
    "impulse_noise": (0.01, 0.02, 0.03, 0.05, 0.07),
    "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),
    "brightness": (0.05, 0.1, 0.15, 0.2, 0.3),
    "jpeg": (80, 65, 58, 50, 40),
    "pixelate": (0.95, 0.9, 0.85, 0.75, 0.65),
    "gaussian_blur": (0.4, 0.6, 0.7, 0.8, 1.0),
}

#: The side of MNIST's images; what is given in its pixels is as large a share of other images.
SIDE = 28

#: What is seen beside a moved image: grey ones are drawn on black, of colour ones a reflection.
BORDER: dict[int, dict[str, Any]] = {
    1: {"mode": "grid-constant", "cval": 0.0},
    3: {"mode": "reflect"},
}

#: Images corrupted at once, which bounds the memory.
AT_ONCE = 256


def corrupt(images: Images, family: str, severity: int, seed: int) -> Images:
    """Return corrupted images.

    Args:
        images: uint8 ``[N, C, H, W]``, C is 1 or 3.
        family: One of FAMILIES.
        severity: One of SEVERITIES.
        seed: With family and severity the seed of all that is drawn.

    Returns:
        uint8 ``[N, C, H, W]``, new images.

    Raises:
        InputError: There is no such family or severity.
    """
    known("family of corruptions", [family], FAMILIES)
    known("severity", map(str, [severity]), map(str, SEVERITIES))
    value = value_of(family, severity, images.shape)
    rng = np.random.default_rng([seed, zlib.crc32(family.encode()), severity])
    corrupted = np.empty_like(images)
    for start in range(0, len(images), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        levels = _CORRUPTIONS[family](images[part], value, rng)
        corrupted[part] = np.rint(np.clip(levels, 0, 255))
    return corrupted


def value_of(family: str, severity: int, shape: tuple[int, ...]) -> float:
    """Return how severe is severe, in the unit of the family, for images ``[..., C, H, W]``."""
    channels, *sides = shape[-3:]
    value = (GREY if channels == 1 else COLOUR)[family][severity - 1]
    in_pixels = family == "shift" or (family == "gaussian_blur" and channels == 1)
    return value * min(sides) / SIDE if in_pixels else value


def hash_of_images(images: Images) -> str:
    """Return the SHA-256 of uint8 images, of any shape."""
    digest = hashlib.sha256(repr(images.shape).encode())
    digest.update(np.ascontiguousarray(images).data)
    return digest.hexdigest()


def _gaussian_noise(images: Images, deviation: float, rng: Generator) -> Levels:
    levels: Levels = images + 255 * deviation * ndtri(rng.random(images.shape))
    return levels


def _shot_noise(images: Images, photons: float, rng: Generator) -> Levels:
    """Count so many photons where it is white, on average, and fewer where it is darker."""
    most = ceil(photons + 12 * photons**0.5)  # (more never are)
    grey = np.arange(256)[:, None]
    up_to = grey + pdtr(np.arange(most), photons * grey / 255)  # (sorted, all levels in a row)
    place = np.searchsorted(up_to.ravel(), images + rng.random(images.shape), side="right")
    levels: Levels = 255 / photons * (place - most * images.astype(np.int64))
    return levels


def _impulse_noise(images: Images, share: float, rng: Generator) -> Levels:
    """Make half of the share of all values black, half of it white."""
    drawn = rng.random(images.shape)
    return np.where(drawn < share / 2, 0, np.where(drawn < share, 255, images))


def _contrast(images: Images, factor: float, _: Generator) -> Levels:
    mean = images.mean((2, 3), keepdims=True)
    levels: Levels = mean + factor * (images - mean)
    return levels


def _brightness(images: Images, more: float, _: Generator) -> Levels:
    """Raise the brightest channel of each pixel; hue and saturation stay."""
    brightest = images.max(1, keepdims=True).astype(np.float64)
    raised = np.minimum(brightest + 255 * more, 255)
    levels: Levels = np.where(brightest == 0, raised, images * (raised / np.maximum(brightest, 1)))
    return levels


def _jpeg(images: Images, quality: float, _: Generator) -> Levels:
    grey = images.shape[1] == 1
    read = []
    for pixels in images[:, 0] if grey else images.transpose(0, 2, 3, 1):
        file = BytesIO()
        Image.fromarray(np.ascontiguousarray(pixels)).save(file, "jpeg", quality=int(quality))
        read.append(np.asarray(Image.open(file)))
    return np.stack(read)[:, None] if grey else np.stack(read).transpose(0, 3, 1, 2)


def _pixelate(images: Images, scale: float, _: Generator) -> Levels:
    """Give all pixels of a cell their mean; a cell has those whose centres lie in it."""
    same = []
    for side in images.shape[2:]:
        cell = np.floor(scale * (np.arange(side) + 0.5))
        same.append((cell[:, None] == cell).astype(np.float64))
    rows, columns = same
    pixels = np.outer(rows.sum(1), columns.sum(1))
    levels: Levels = rows @ images @ columns / pixels
    return levels


def _gaussian_blur(images: Images, deviation: float, _: Generator) -> Levels:
    """Blur; smaller images than MNIST's as if they went on linearly between their pixels."""
    reach = ceil(4 * deviation) + 1
    at = np.arange(-reach - 1.0, reach + 2)
    if min(images.shape[2:]) < SIDE:  # (else less than a pixel of blur would change nothing)
        weights = np.diff(_excess(at, deviation), 2)
    else:
        weights = np.exp(-0.5 * (at / deviation) ** 2)
    levels = images.astype(np.float64)
    for axis in (2, 3):
        levels = ndimage.correlate1d(levels, weights / weights.sum(), axis, mode="nearest")
    return levels


def _excess(at: Levels, deviation: float) -> Levels:
    """Return the mean of max(X - at, 0) of a normal X, whose second differences are E of hats."""
    density = np.exp(-0.5 * (at / deviation) ** 2) / np.sqrt(2 * np.pi)
    levels: Levels = deviation * density - at * ndtr(-at / deviation)
    return levels


def _rotate(images: Images, angle: float, rng: Generator) -> Levels:
    angles = angle * _signs(rng, len(images))
    return _moved(images, [[[cos(a), sin(a)], [-sin(a), cos(a)]] for a in angles])


def _shear(images: Images, factor: float, rng: Generator) -> Levels:
    return _moved(images, [[[1, 0], [f, 1]] for f in factor * _signs(rng, len(images))])


def _shrink(images: Images, scale: float, _: Generator) -> Levels:
    return _moved(images, [np.eye(2) / scale] * len(images))


def _shift(images: Images, pixels: float, rng: Generator) -> Levels:
    shifts = pixels * _signs(rng, len(images), 2)
    return _moved(images, [np.eye(2)] * len(images), shifts)


def _signs(rng: Generator, *shape: int) -> Levels:
    return np.where(rng.random(shape) < 0.5, -1.0, 1.0)


def _moved(images: Images, matrices: Any, shifts: Any = 0) -> Levels:
    """Return each image with the value of place ``matrix @ p + shift`` at place p.

    Places are row and column, counted from the centre; between pixels is interpolated linearly.
    """
    centre = (np.array(images.shape[2:]) - 1) / 2
    matrices = np.asarray(matrices)
    offsets = centre + shifts - matrices @ centre
    moved = np.empty(images.shape)
    for image, matrix, offset, made in zip(images, matrices, offsets, moved, strict=True):
        for channel, levels in zip(image, made, strict=True):
            ndimage.affine_transform(
                channel.astype(np.float64),
                matrix,
                offset,
                output=levels,
                order=1,
                **BORDER[len(image)],
            )
    return moved


_CORRUPTIONS: dict[str, Callable[[Images, float, Generator], Levels]] = {
    "gaussian_noise": _gaussian_noise,
    "shot_noise": _shot_noise,
    "impulse_noise": _impulse_noise,
    "contrast": _contrast,
    "brightness": _brightness,
    "jpeg": _jpeg,
    "pixelate": _pixelate,
    "gaussian_blur": _gaussian_blur,
    "rotate": _rotate,
    "shear": _shear,
    "shrink": _shrink,
    "shift": _shift,
}
