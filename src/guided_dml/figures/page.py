"""A self-contained HTML page: every embedded image is a point of a map.

What it can do is in ``web/``: plain JavaScript, put into the page as it is built. How it is built::

    training = Choice(points, picture="training", gallery=hash_of_the_gallery)
    new = Choice(
        new_points,
        picture="new",
        flags={"unknown": ~known},
        reference=points.name,
        neighbours=Neighbours(rows, distances, gallery=hash_that_was_stored_with_them),
    )
    group = Group("", classes, [new, training], one_window=True)
    pictures = {"training": PointImages(images), "new": PointImages(new_images)}
    html = map_page([group], pictures, "a heading", page.megabytes)
"""

from __future__ import annotations

import base64
import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from guided_dml.errors import InputError
from guided_dml.figures.plane import Points, class_colours
from guided_dml.figures.style import visible
from guided_dml.figures.thumbnails import COLUMNS, SHEET, PointImages, Thumbnails, thumbnails

__all__ = ["Choice", "Group", "Neighbours", "PointImages", "map_page"]

#: In the order in which they are put into the page.
SCRIPTS = ("data.js", "raster.js", "view.js", "panel.js", "start.js")

#: Coordinates are stored in 16 bits, as steps of the window, unless the middle nine tenths of the
#: points share fewer steps than this in some direction: then in 32.
ENOUGH_STEPS = 2_048

Array = NDArray[Any]


@dataclass(frozen=True)
class Neighbours:
    """The nearest points of another set, as they were stored.

    Attributes:
        rows: int64 ``[N, k]``, of each point the nearest in the reference set, nearest first.
        distances: float ``[N, k]``.
        gallery: Hash of the gallery that the rows are numbers in; it has to be that of the
            reference set.
    """

    rows: NDArray[np.int64]
    distances: Array
    gallery: str = ""


@dataclass(frozen=True)
class Choice:
    """A set of points that can be chosen on a page.

    Attributes:
        points: Where they are, and what they are called.
        picture: The key of the images; None for points without images.
        kind: Who changes the group stays with the same kind of set, where there is one.
        flags: By what they are called, bool ``[N]``: what can be filtered by; a point for which
            one holds has a ring.
        notes: A line about each point, shown with its name.
        reference: Name of the set of the same group that neighbours are looked up in, which is
            drawn faintly behind this one; empty: this set itself.
        neighbours: Of each point; None: the page finds those in the plane.
        gallery: Hash of this set, where stored neighbours are numbers in it.
    """

    points: Points
    picture: str | None = None
    kind: str = ""
    flags: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    notes: Sequence[str] | None = None
    reference: str = ""
    neighbours: Neighbours | None = None
    gallery: str = ""


@dataclass(frozen=True)
class Group:
    """What is chosen first on a page: a data set, whose sets share their classes.

    Attributes:
        name: What it is called; empty where it is the only one.
        classes: Names of the labels.
        sets: What can be chosen; the first is shown.
        one_window: Whether all sets are shown in the same window of coordinates, so that
            changing the set shows what moved; otherwise each has its own.
    """

    name: str
    classes: Sequence[str]
    sets: Sequence[Choice]
    one_window: bool = False


def map_page(
    groups: Sequence[Group],
    pictures: Mapping[str, PointImages],
    heading: str,
    megabytes: float,
) -> str:
    """Return a page of one or several embeddings; it needs no network and no other file.

    Args:
        groups: What can be chosen first; then one of its sets.
        pictures: Images by the keys that the sets name. Sets that name the same key share them.
        heading: Title of the page.
        megabytes: Size of the page: the images get what the points leave of it.

    Raises:
        InputError: A set is empty, or its stored neighbours are not numbers in its reference set.
    """
    # (each long text is on the page once, and has the number of those before it)
    texts: defaultdict[str, int] = defaultdict(lambda: len(texts))
    places = {key: place for place, key in enumerate(pictures)}
    content: dict[str, Any] = {
        "heading": visible(heading),
        "groups": [_group(group, places, texts) for group in groups],
    }
    used = len(json.dumps([content, list(texts)]))
    made = thumbnails(pictures, megabytes * 1e6 - used)
    content |= {
        "pictures": [_picture(some, texts) for some in made],
        "texts": list(texts),
        "sheet": {"columns": COLUMNS, "count": SHEET},
    }
    # No name is to end or to comment out the element that holds the content: no "<" is in it.
    parts = {
        "__CONTENT__": json.dumps(content, separators=(",", ":")).replace("<", "\\u003c"),
        "__STYLE__": _web("page.css"),
        "__SCRIPT__": "".join(map(_web, SCRIPTS)),
        "__SHEETS__": "".join(_sheets(made)),
    }
    return re.sub("|".join(parts), lambda found: parts[found[0]], _web("page.html"))


def _group(group: Group, places: Mapping[str, int], texts: dict[str, int]) -> dict[str, Any]:
    return {
        "name": visible(group.name) if group.name else "",
        "classes": [visible(name) for name in group.classes],
        "colours": class_colours(len(group.classes)),
        "oneWindow": group.one_window,
        "sets": [_set(choice, group, places, texts) for choice in group.sets],
    }


def _set(
    choice: Choice, group: Group, places: Mapping[str, int], texts: dict[str, int]
) -> dict[str, Any]:
    points = choice.points
    if not len(points.labels):
        raise InputError(f"{points.name}: there is no image to draw")
    names = [other.points.name for other in group.sets]
    reference = names.index(choice.reference or points.name)
    window, x, y = _in_steps(points.xy)
    numbered = points.names == [f"image {row}" for row in range(len(points.names))]
    return {
        "name": visible(points.name),
        "title": visible(points.title),
        "kind": choice.kind,
        "axes": points.axes,
        "window": window,
        "x": _numbers(x, texts),
        "y": _numbers(y, texts),
        "labels": _numbers(points.labels.astype(np.min_scalar_type(len(group.classes))), texts),
        "names": None if numbered else texts[_lines(points.names)],
        "notes": None if choice.notes is None else texts[_lines(choice.notes)],
        "picture": None if choice.picture is None else places[choice.picture],
        "flags": [
            {"name": visible(name), "bits": _numbers(np.packbits(flag, bitorder="little"), texts)}
            for name, flag in choice.flags.items()
        ],
        "reference": reference,
        "neighbours": _neighbours(choice, group.sets[reference], texts),
    }


def _neighbours(choice: Choice, among: Choice, texts: dict[str, int]) -> dict[str, Any] | None:
    found, name = choice.neighbours, choice.points.name
    if found is None:
        return None
    if found.gallery != among.gallery:
        raise InputError(
            f"{name}: its stored neighbours are numbers in the gallery {found.gallery or '(none)'}"
            f", but {among.points.name} is the gallery {among.gallery or '(none)'}; look them up "
            "anew in this one"
        )
    rows = found.rows
    inside = ((rows >= 0) & (rows < len(among.points.labels))).all()
    if len(rows) != len(choice.points.labels) or not inside:
        raise InputError(f"{name}: its stored neighbours are not rows of {among.points.name}")
    return {
        "count": rows.shape[1],
        "rows": _numbers(rows.astype("<u4"), texts),
        "distances": _numbers(found.distances.astype("<f4"), texts),
    }


def _in_steps(xy: NDArray[np.float32]) -> tuple[list[float], Array, Array]:
    """Return the window ``x, y, width, height`` of points, and where in it they are, in steps."""
    values = xy.astype(np.float64)
    low, size = values.min(0), np.ptp(values, axis=0)
    middle = np.ptp(np.quantile(values, (0.05, 0.95), axis=0), axis=0)
    # A few far outliers would leave too few steps of 16 bits to the others.
    few = (middle * 2**16 < ENOUGH_STEPS * size).any()
    steps, kind = (2**32 - 1, "<u4") if few else (2**16 - 1, "<u2")
    x, y = np.round((values - low) / np.where(size > 0, size, 1) * steps).astype(kind).T
    return [*low.tolist(), *size.tolist()], x, y


def _picture(made: Thumbnails, texts: dict[str, int]) -> dict[str, Any]:
    rows = _numbers(made.rows.astype("<u4"), texts)
    return {"rows": rows, "width": made.width, "height": made.height}


def _sheets(made: list[Thumbnails]) -> list[str]:
    """Return an element for each sheet, to stand behind the script: the map is drawn before."""
    return [
        f'<script type="text/plain" id="sheet-{place}-{number}">{sheet}</script>\n'
        for place, some in enumerate(made)
        for number, sheet in enumerate(some.sheets)
    ]


def _numbers(array: Array, texts: dict[str, int]) -> list[Any]:
    """Return the number of an array's text (little-endian bytes in base64), and its type."""
    text = base64.b64encode(array.tobytes()).decode()
    return [texts[text], array.dtype.str[1:]]


def _lines(names: Sequence[str]) -> str:
    return "\n".join(map(visible, names))


def _web(name: str) -> str:
    return files("guided_dml.figures").joinpath("web", name).read_text("utf-8")
