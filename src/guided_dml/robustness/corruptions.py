"""Corrupted images: twelve families with five severities each, the same on every machine.

After MNIST-C (Mu and Gilmer 2019), CIFAR-10-C (Hendrycks and Dietterich 2019), with their
severities, but made here: for any size, grey or colour, from one seed. What moves pixels moves them
between pixels too (bilinear), so that images of 8 pixels have five severities as well. What comes
into a grey image from outside is black, as around drawings; into a colour image its nearest pixel.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from guided_dml.errors import known
from guided_dml.robustness.names import FAMILIES, SEVERITIES
from guided_dml.seeding import derived_seed

Images = NDArray[np.uint8]
#: In parts of full brightness, float64 ``[N, C, H, W]``.
Bright = NDArray[np.float64]

#: Pixels of a side for which shifts and grey images' blurs are given; others have their share.
SIDE = 28

Levels = tuple[float, float, float, float, float]

#: Of each family the five severities, for grey and for colour images.
LEVELS: dict[str, tuple[Levels, Levels]] = {
    "gaussian_noise": ((0.08, 0.12, 0.18, 0.26, 0.38), (0.04, 0.06, 0.08, 0.09, 0.10)),
    "shot_noise": ((60, 25, 12, 5, 3), (500, 250, 100, 75, 50)),
    "impulse_noise": ((0.03, 0.06, 0.09, 0.17, 0.27), (0.01, 0.02, 0.03, 0.05, 0.07)),
    "contrast": ((0.4, 0.3, 0.2, 0.1, 0.05), (0.75, 0.5, 0.4, 0.3, 0.15)),
    "brightness": ((0.1, 0.2, 0.3, 0.4, 0.5), (0.05, 0.1, 0.15, 0.2, 0.3)),
    "jpeg": ((25, 18, 15, 10, 7), (80, 65, 58, 50, 40)),
    "pixelate": ((0.6, 0.5, 0.4, 0.3, 0.25), (0.95, 0.9, 0.85, 0.75, 0.65)),
    "gaussian_blur": ((0.5, 0.8, 1.2, 1.6, 2.2), (0.4, 0.6, 0.7, 0.8, 1.0)),
    **dict.fromkeys(("rotate", "shear"), ((0.2, 0.4, 0.6, 0.8, 1.0),) * 2),
    "shrink": ((0.9, 0.8, 0.7, 0.6, 0.5),) * 2,
    "shift": ((1, 2, 3, 4, 5),) * 2,
}


def corrupt(images: Images, family: str, severity: int, seed: int) -> Images:
    """Return images with one corruption.

    Args:
        images: uint8 ``[N, C, H, W]``, C is 1 (grey) or 3 (RGB).
        family: One of :data:`~guided_dml.robustness.names.FAMILIES`.
        severity: 1 to 5.
        seed: Of what is drawn; each family and severity has a stream of its own.

    Returns:
        uint8 of the same shape.

    Raises:
        InputError: There is no such family or severity.
    """
    known("corruption", [family], FAMILIES)
    known("severity", [str(severity)], map(str, SEVERITIES))
    rng = np.random.default_rng(derived_seed(seed, f"corruption {family} {severity}"))
    level = LEVELS[family][images.shape[1] == 3][severity - 1]
    if family == "jpeg":
        return _jpeg(images, int(level))
    return _levels(MAKERS[family](images / 255, level, rng))


def hash_of_images(images: Images) -> str:
    """Return SHA-256 of their shape and pixels."""
    digest = hashlib.sha256(json.dumps(images.shape).encode())
    digest.update(np.ascontiguousarray(images).data)
    return digest.hexdigest()


def _levels(bright: Bright) -> Images:
    levels: Images = np.rint(bright.clip(0, 1) * 255).astype(np.uint8)
    return levels


def _gaussian_noise(bright: Bright, sigma: float, rng: np.random.Generator) -> Bright:
    return bright + sigma * rng.standard_normal(bright.shape)


def _shot_noise(bright: Bright, photons: float, rng: np.random.Generator) -> Bright:
    return rng.poisson(bright * photons) / photons


def _impulse_noise(bright: Bright, share: float, rng: np.random.Generator) -> Bright:
    """Set a share of the values, half to black and half to white."""
    drawn = rng.random(bright.shape)
    black = np.where(drawn < share / 2, 0.0, bright)
    return np.where(drawn > 1 - share / 2, 1.0, black)


def _contrast(bright: Bright, factor: float, _: np.random.Generator) -> Bright:
    """Bring each channel of each image closer to its mean."""
    means: Bright = bright.mean((2, 3), keepdims=True)
    return means + factor * (bright - means)


def _brightness(bright: Bright, more: float, _: np.random.Generator) -> Bright:
    """Add to an image's value: the largest of its channels, whose proportions stay (HSV)."""
    value = bright.max(1, keepdims=True)
    brighter = np.minimum(value + more, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        changed: Bright = np.where(value > 0, bright * (brighter / value), brighter)
    return changed


def _pixelate(bright: Bright, scale: float, _: np.random.Generator) -> Bright:
    """Average boxes of pixels, and show in each pixel the boxes that lie in it."""
    for axis in (2, 3):
        side = bright.shape[axis]
        overlaps = _overlaps(side, max(1, round(side * scale)))
        shown = overlaps.T @ (overlaps / overlaps.sum(1, keepdims=True))
        bright = np.moveaxis(np.moveaxis(bright, axis, -1) @ shown.T, -1, axis)
    return bright


def _overlaps(side: int, count: int) -> NDArray[np.float64]:
    """Return how much of each pixel of a side lies in each of ``count`` equal parts of it."""
    edges, pixels = np.arange(count + 1) * (side / count), np.arange(side)
    low, high = np.maximum(edges[:-1, None], pixels), np.minimum(edges[1:, None], pixels + 1)
    overlaps: NDArray[np.float64] = (high - low).clip(0)
    return overlaps


def _gaussian_blur(bright: Bright, sigma: float, _: np.random.Generator) -> Bright:
    """Blur by the discrete Gaussian (Lindeberg 1990), which has its variance below a pixel too."""
    from scipy.ndimage import correlate1d
    from scipy.special import ive

    for axis in (2, 3):
        width = sigma * bright.shape[axis] / SIDE if bright.shape[1] == 1 else sigma
        reach = np.arange(-math.ceil(4 * width) - 2, math.ceil(4 * width) + 3)
        kernel = ive(np.abs(reach), width**2)
        bright = correlate1d(bright, kernel / kernel.sum(), axis, mode="nearest")
    return bright


def _rotate(bright: Bright, angle: float, rng: np.random.Generator) -> Bright:
    signs = rng.choice((-1, 1), len(bright))
    cosine, sine = np.cos(angle), signs * np.sin(angle)
    return _moved(bright, [[cosine, sine], [-sine, cosine]])


def _shear(bright: Bright, amount: float, rng: np.random.Generator) -> Bright:
    """Move rows sideways, the more the farther they are from the middle."""
    return _moved(bright, [[1, 0], [rng.choice((-amount, amount), len(bright)), 1]])


def _shrink(bright: Bright, scale: float, _: np.random.Generator) -> Bright:
    return _moved(bright, [[1 / scale, 0], [0, 1 / scale]])


def _shift(bright: Bright, pixels: float, rng: np.random.Generator) -> Bright:
    """Move images as far along each axis, in one of the four directions between."""
    by = [pixels * side / SIDE * rng.choice((-1, 1), len(bright)) for side in bright.shape[2:]]
    return _moved(bright, [[1, 0], [0, 1]], by)


def _moved(bright: Bright, matrix: list[list[Any]], by: Sequence[Any] = (0, 0)) -> Bright:
    """Read each image at other places, around its middle.

    Args:
        bright: ``[N, C, H, W]``.
        matrix: From the place of a pixel to that which it shows, a number or one an image.
        by: How far the image moves, likewise.
    """
    from scipy.ndimage import map_coordinates

    count, _, height, width = bright.shape
    middle = (height - 1) / 2, (width - 1) / 2
    y, x = np.arange(height)[:, None] - middle[0], np.arange(width) - middle[1]
    (yy, yx), (xy, xx) = (
        [np.broadcast_to(value, count)[:, None, None] for value in row] for row in matrix
    )
    down, right = (np.broadcast_to(value, count)[:, None, None] for value in by)
    places = np.stack([yy * y + yx * x - down + middle[0], xy * y + xx * x - right + middle[1]])
    mode = "grid-constant" if bright.shape[1] == 1 else "nearest"
    moved = np.empty_like(bright)
    for n, image in enumerate(bright):
        for c, channel in enumerate(image):
            moved[n, c] = map_coordinates(channel, places[:, n], order=1, mode=mode)
    return moved


def _jpeg(images: Images, quality: int) -> Images:
    from PIL import Image

    def compressed(image: Images) -> Images:
        buffer = io.BytesIO()
        pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
        Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
        found = np.asarray(Image.open(buffer))
        return found[None] if found.ndim == 2 else found.transpose(2, 0, 1)

    return np.stack([compressed(image) for image in images]) if len(images) else images.copy()


MAKERS: dict[str, Callable[[Bright, float, np.random.Generator], Bright]] = {
    "gaussian_noise": _gaussian_noise,
    "shot_noise": _shot_noise,
    "impulse_noise": _impulse_noise,
    "contrast": _contrast,
    "brightness": _brightness,
    "pixelate": _pixelate,
    "gaussian_blur": _gaussian_blur,
    "rotate": _rotate,
    "shear": _shear,
    "shrink": _shrink,
    "shift": _shift,
}
