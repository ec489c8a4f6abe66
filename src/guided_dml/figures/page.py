"""A self-contained HTML page: the embedding with the image under the pointer."""

from __future__ import annotations

import base64
import io
import json
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from guided_dml.figures.plane import Points, class_colours

#: Points of one set on the page: each brings its image along.
MOST_POINTS = 2_000

#: Pixels; larger images are shown smaller, by leaving rows and columns out.
LARGEST_SIDE = 64


def embedding_page(
    sets: list[tuple[Points, NDArray[np.uint8]]], classes: list[str], heading: str
) -> str:
    """Return the page; it needs no network and no other file.

    Args:
        sets: What can be chosen on the page: points, and their images uint8 ``[N, C, H, W]``.
        classes: The class names.
        heading: Title of the page.
    """
    content = {
        "heading": heading,
        "classes": classes,
        "colours": class_colours(len(classes)),
        "sets": [_content(points, images) for points, images in sets],
    }
    template = files("guided_dml.figures").joinpath("page.html").read_text("utf-8")
    # "</" inside a class name would end the script element.
    return template.replace("__CONTENT__", json.dumps(content).replace("</", "<\\/"))


def _content(points: Points, images: NDArray[np.uint8]) -> dict[str, object]:
    step = -(-max(images.shape[2:]) // LARGEST_SIDE)
    images = images[..., ::step, ::step]
    columns = int(np.ceil(np.sqrt(len(images))))
    return {
        "title": points.title,
        "axes": points.axes,
        "x": points.xy[:, 0].round(4).tolist(),
        "y": points.xy[:, 1].round(4).tolist(),
        "labels": points.labels.tolist(),
        "rows": points.rows.tolist(),
        "sprite": _sprite(images, columns),
        "columns": columns,
        "height": images.shape[2],
        "width": images.shape[3],
    }


def _sprite(images: NDArray[np.uint8], columns: int) -> str:
    """Return all images as one picture, a data URL."""
    from PIL import Image

    count, channels, height, width = images.shape
    rows = -(-count // columns)
    sheet = np.zeros((rows * columns, channels, height, width), np.uint8)
    sheet[:count] = images
    tiled = sheet.reshape(rows, columns, channels, height, width).transpose(0, 3, 1, 4, 2)
    pixels = tiled.reshape(rows * height, columns * width, channels)
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if channels == 1 else pixels).save(
        buffer, "WEBP", quality=85, method=4
    )
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
