"""Embeddings as points of a plane, and the colours of their classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import hsv_to_rgb, to_hex
from numpy.typing import NDArray

from guided_dml.errors import InputError
from guided_dml.inference.plane import principal_plane

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Points:
    """A set of embedded images, as drawn.

    Attributes:
        name: What the set is called, e.g. ``training images``.
        xy: float32 ``[N, 2]``.
        labels: int64 ``[N]``.
        axes: What the two axes are.
        rows: int64 ``[N]``, the index of each point in the whole set.
        names: What the image of each point is called.
        of: Size of the whole set.
    """

    name: str
    xy: Array
    labels: NDArray[np.int64]
    axes: tuple[str, str]
    rows: NDArray[np.int64]
    names: list[str]
    of: int

    @property
    def title(self) -> str:
        """The name with the number of points, and of how many they were taken."""
        if len(self.rows) == self.of:
            return f"{self.name} ({self.of:,})"
        return f"{self.name} ({len(self.rows):,} of {self.of:,})"


def to_plane(sets: Mapping[str, Mapping[str, Any]], most: int | None = None) -> list[Points]:
    """Prepare sets of embeddings for drawing, all in the same plane.

    With D > 2 the plane is that of the first two principal components of the first set, and the
    axes say so.

    Args:
        sets: Name to ``embeddings`` float ``[N, D]`` and ``labels`` int64 ``[N]``, arrays or
            tensors of the CPU, and, where the images have names, these as ``names``, N strings;
            else they have their numbers.
        most: Points drawn of a set; of a larger one an evenly spaced selection is taken. None:
            all.

    Raises:
        InputError: An embedding is not finite; names the set.
    """
    for name, arrays in sets.items():
        if not np.isfinite(np.asarray(arrays["embeddings"])).all():
            raise InputError(f"{name}: not all embeddings are finite; they cannot be drawn")
    first = next(iter(sets.values()))["embeddings"]
    centre, axes, titles = principal_plane(np.asarray(first))
    drawn = []
    for name, arrays in sets.items():
        total = len(arrays["labels"])
        rows = evenly_spaced(total, total if most is None else most)
        chosen = np.asarray(arrays["embeddings"], np.float64)[rows]
        xy = ((chosen - centre) @ axes).astype(np.float32)
        labels, known = np.asarray(arrays["labels"])[rows], arrays.get("names") or range(total)
        names = [image_title(str(known[row])) for row in rows.tolist()]
        drawn.append(Points(name, xy, labels, titles, rows, names, total))
    return drawn


def evenly_spaced(total: int, most: int) -> NDArray[np.int64]:
    """Return at most so many of ``total`` rows, from the first to the last."""
    return np.linspace(0, total - 1, min(most, total)).round().astype(np.int64)


def window(sets: Sequence[Points]) -> dict[str, tuple[float, float]]:
    """Return the limits of a square panel that shows all points of the sets."""
    everything = np.concatenate([points.xy for points in sets]).astype(np.float64)
    low, high = everything.min(0), everything.max(0)
    (x, y), reach = (low + high) / 2, 0.54 * float((high - low).max() or 1)
    return {"xlim": (x - reach, x + reach), "ylim": (y - reach, y + reach)}


def rounded(xy: Array) -> list[list[float]]:
    """Return the x and the y of points, to a hundred-thousandth of what they span."""
    span = float(np.ptp(xy.astype(np.float64), axis=0).max()) or 1.0
    decimals = 6 - int(np.ceil(np.log10(span)))
    values: list[list[float]] = np.round(xy.T.astype(float), decimals).tolist()
    return values


def image_title(name: str) -> str:
    """Return what an image is called where it is shown: its file's name, or its number."""
    return f"image {name}" if name.isdecimal() else name


def class_colours(count: int) -> list[str]:
    """Return a colour for each class as ``#rrggbb``: told apart easily up to 20 classes."""
    if count <= 20:
        palette = colormaps["tab10" if count <= 10 else "tab20"]
        return [to_hex(palette(i)) for i in range(count)]
    # Steps of the golden ratio keep neighbours apart in hue, however many there are.
    place = np.arange(count)
    tones = np.array([(0.95, 0.85), (0.6, 0.95), (0.9, 0.6), (0.5, 0.75)])
    hsv = np.column_stack([place * 0.618034 % 1, tones[place % 4]])
    return [to_hex(colour) for colour in hsv_to_rgb(hsv)]
