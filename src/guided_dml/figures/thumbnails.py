"""Images as small pictures in sheets, as many and as large as a number of bytes allows."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from guided_dml.figures.plane import evenly_spaced

#: Images of one sheet, which a browser decodes as a whole.
SHEET = 1_024

#: Images side by side in a sheet.
COLUMNS = 32

#: Longest side of a thumbnail in pixels: the first with which all of them fit.
SIDES = (64, 48, 32, 24)

#: Images that are encoded to learn how many bytes the others will take.
SAMPLE = 256

#: What is planned of the bytes there are: a sample can be wrong.
PLANNED = 0.95


class PointImages(NamedTuple):
    """Images of the points of a set.

    Attributes:
        images: uint8 ``[M, C, H, W]``.
        rows: int64 ``[M]``, ascending, the point of each; None: the i-th is the i-th point's.
    """

    images: NDArray[np.uint8]
    rows: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Thumbnails:
    """Thumbnails of the points of a set.

    Attributes:
        sheets: Base64 of WebP pictures, of ``SHEET`` thumbnails each, row by row.
        rows: int64 ``[T]``, the point of each thumbnail.
        width: Pixels of one.
        height: Pixels of one.
    """

    sheets: list[str]
    rows: NDArray[np.int64]
    width: int
    height: int


def thumbnails(pictures: Mapping[str, PointImages], room: float) -> list[Thumbnails]:
    """Make thumbnails that take about ``room`` characters in all, or less.

    They are as large as fits; where not even the smallest of all images fit, an evenly spaced part
    of the images has some.

    Args:
        pictures: The images by any key.
        room: Characters of base64.

    Returns:
        Those of each entry of ``pictures``.
    """
    for side in SIDES:
        needed = sum(_estimate(images, side) for images, _ in pictures.values())
        share = min(PLANNED * max(room, 0) / max(needed, 1), 1)
        if share == 1:
            break
    return [_made(some, side, int(share * len(some.images))) for some in pictures.values()]


def _estimate(images: NDArray[np.uint8], side: int) -> float:
    """Return about how many characters thumbnails of so many pixels take."""
    sample = images[evenly_spaced(len(images), SAMPLE)] if len(images) else images
    return len(images) * len(sheet_of(sample, side)) / max(len(sample), 1)


def _made(some: PointImages, side: int, count: int) -> Thumbnails:
    chosen = evenly_spaced(len(some.images), count)
    parts = np.split(chosen, range(SHEET, len(chosen), SHEET)) if count else []
    height, width = _size(some.images.shape, side)
    return Thumbnails(
        sheets=[sheet_of(some.images[part], side) for part in parts],
        rows=chosen if some.rows is None else some.rows[chosen],
        width=width,
        height=height,
    )


def _size(shape: Sequence[int], side: int) -> tuple[int, int]:
    """Return height and width of a thumbnail; no image is enlarged."""
    height, width = shape[-2:]
    factor = min(1, side / max(height, width))
    return max(1, round(factor * height)), max(1, round(factor * width))


def sheet_of(images: NDArray[np.uint8], side: int, columns: int = COLUMNS, **options: Any) -> str:
    """Return images as one picture, row by row: WebP, written with ``options``, in base64."""
    from PIL import Image

    height, width = _size(images.shape, side)
    mode = "L" if images.shape[1] == 1 else "RGB"
    size = (min(columns, max(len(images), 1)) * width, -(-len(images) // columns) * height or 1)
    sheet = Image.new(mode, size)
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        # (Pillow takes [H, W], or [H, W, 3])
        pixels = image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0))
        small = Image.fromarray(pixels)
        if small.size != (width, height):
            small = small.resize((width, height), Image.Resampling.BOX)
        sheet.paste(small, (column * width, row * height))
    buffer = io.BytesIO()
    sheet.save(buffer, "WEBP", **{"quality": 70, "method": 0} | options)
    return base64.b64encode(buffer.getvalue()).decode()
