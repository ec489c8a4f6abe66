"""Embeddings as points of a plane, and the colours of their classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex
from numpy.typing import NDArray

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
        of: Size of the whole set.
    """

    name: str
    xy: Array
    labels: NDArray[np.int64]
    axes: tuple[str, str]
    rows: NDArray[np.int64]
    of: int

    @property
    def title(self) -> str:
        """The name with the number of points, and of how many they were taken."""
        if len(self.rows) == self.of:
            return f"{self.name} ({self.of:,})"
        return f"{self.name} ({len(self.rows):,} of {self.of:,})"


def to_plane(sets: dict[str, dict[str, NDArray[np.generic]]], most: int) -> list[Points]:
    """Prepare sets of embeddings for drawing, all in the same plane.

    With D > 2 the plane is that of the first two principal components of the first set, and the
    axes say so.

    Args:
        sets: Name to ``embeddings`` float ``[N, D]`` and ``labels`` int64 ``[N]``.
        most: Points drawn of a set; of a larger one an evenly spaced selection is taken.
    """
    first = next(iter(sets.values()))["embeddings"]
    centre, axes, names = _plane(np.asarray(first, np.float32))
    drawn = []
    for name, arrays in sets.items():
        total = len(arrays["labels"])
        rows = evenly_spaced(total, most)
        chosen = np.asarray(arrays["embeddings"], np.float32)[rows]
        xy = ((chosen - centre) @ axes).astype(np.float32)
        drawn.append(Points(name, xy, np.asarray(arrays["labels"])[rows], names, rows, total))
    return drawn


def evenly_spaced(total: int, most: int) -> NDArray[np.int64]:
    """Return at most so many of ``total`` rows, from the first to the last."""
    return np.linspace(0, total - 1, min(most, total)).round().astype(np.int64)


def _plane(embeddings: Array) -> tuple[Array, Array, tuple[str, str]]:
    """Return a centre [D], two axes [D, 2] and their names."""
    dimension = embeddings.shape[1]
    if dimension <= 2:
        names = ("dimension 1", "dimension 2" if dimension == 2 else "")
        return np.zeros(dimension, np.float32), np.eye(dimension, 2, dtype=np.float32), names
    centre = embeddings.mean(0)
    covariance = np.cov(embeddings - centre, rowvar=False)
    variances, vectors = np.linalg.eigh(covariance)
    shares = variances[::-1][:2] / max(variances.sum(), 1e-12)
    first, second = (
        f"principal component {rank} of {dimension} dimensions ({share:.0%} of the variance)"
        for rank, share in enumerate(shares, start=1)
    )
    return centre, vectors[:, ::-1][:, :2].astype(np.float32), (first, second)


def class_colours(count: int) -> list[str]:
    """Return a colour for each class as ``#rrggbb``: told apart easily up to 20 classes."""
    if count <= 20:
        palette = colormaps["tab10" if count <= 10 else "tab20"]
        return [to_hex(palette(i)) for i in range(count)]
    return [to_hex(colormaps["hsv"](i / count)) for i in range(count)]
