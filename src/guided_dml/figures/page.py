"""A self-contained HTML page: embeddings with the image under the pointer."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from guided_dml.figures.plane import Points, class_colours, rounded
from guided_dml.figures.style import visible

#: Points of one set on the page: each brings its image along.
MOST_POINTS = 2_000

#: Pixels; larger images are shown smaller, by leaving rows and columns out.
LARGEST_SIDE = 64


class Choice(NamedTuple):
    """A set of points that can be chosen on a page.

    Attributes:
        picture: The key of the images; None for points without images.
        kind: Who changes the group stays with the same kind of set, where there is one.
    """

    points: Points
    picture: str | None = None
    kind: str = ""


@dataclass(frozen=True)
class Group:
    """What is chosen first on a page: a data set, whose sets share their classes.

    Attributes:
        one_window: Whether all sets are shown in the same window of coordinates, so that
            changing the set shows what moved; otherwise each has its own.
    """

    name: str
    classes: list[str]
    sets: list[Choice]
    one_window: bool = False


def embedding_page(
    sets: list[tuple[Points, NDArray[np.uint8]]], classes: list[str], heading: str
) -> str:
    """Return the page of one embedding; it needs no network and no other file.

    Args:
        sets: What can be chosen on the page: points, and their images uint8 ``[N, C, H, W]``.
        classes: Their names.
        heading: Title.
    """
    pictures = {points.name: images for points, images in sets}
    choices = [Choice(points, points.name) for points, _ in sets]
    return atlas_page([Group("", classes, choices, one_window=True)], pictures, heading)


def atlas_page(
    groups: Sequence[Group], pictures: Mapping[str, NDArray[np.uint8]], heading: str
) -> str:
    """Return a page of several embeddings; it needs no network and no other file.

    Args:
        groups: What can be chosen first; then one of its sets.
        pictures: Images uint8 ``[N, C, H, W]`` by the keys that the sets name, the i-th of the
            i-th point. Sets that name the same key share them: they are on the page once.
        heading: Title of the page.
    """
    places = {key: place for place, key in enumerate(pictures)}
    content = {
        "heading": visible(heading),
        "pictures": [_picture(images) for images in pictures.values()],
        "groups": [
            {
                "name": visible(group.name) if group.name else "",
                "classes": [visible(name) for name in group.classes],
                "colours": class_colours(len(group.classes)),
                "oneWindow": group.one_window,
                "sets": [_set(choice, places) for choice in group.sets],
            }
            for group in groups
        ],
    }
    template = files("guided_dml.figures").joinpath("page.html").read_text("utf-8")
    # No name is to end or to comment out the element that holds the content: no "<" is in it.
    text = json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")
    return template.replace("__CONTENT__", text)


def _set(choice: Choice, places: Mapping[str, int]) -> dict[str, object]:
    points = choice.points
    x, y = rounded(points.xy)
    return {
        "kind": choice.kind,
        "title": visible(points.title),
        "axes": points.axes,
        "x": x,
        "y": y,
        "labels": points.labels.tolist(),
        "names": [visible(name) for name in points.names],
        "picture": None if choice.picture is None else places[choice.picture],
    }


def _picture(images: NDArray[np.uint8]) -> dict[str, object]:
    """Return all images as one picture, a data URL, and where they are in it."""
    from PIL import Image

    step = -(-max(images.shape[2:]) // LARGEST_SIDE)
    images = images[..., ::step, ::step]
    count, channels, height, width = images.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    sheet = np.zeros((rows * columns, channels, height, width), np.uint8)
    sheet[:count] = images
    tiled = sheet.reshape(rows, columns, channels, height, width).transpose(0, 3, 1, 4, 2)
    pixels = tiled.reshape(rows * height, columns * width, channels)
    buffer, picture = io.BytesIO(), Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    picture.save(buffer, "WEBP", quality=85, method=4)
    sprite = "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
    place = {"columns": columns, "count": count, "height": height, "width": width}
    return {"sprite": sprite, **place}
