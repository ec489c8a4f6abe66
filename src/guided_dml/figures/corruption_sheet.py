"""A sheet of images with all their corruptions, mild to severe."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from numpy.typing import NDArray

from guided_dml.figures.style import STYLE, set_title

Images = NDArray[np.uint8]

#: Longest side of a tile, and the gap between two, in pixels of the stored figure.
TILE, GAP = 64, 6

#: Of the figure; margins in inches: for the names of rows, for columns and heading, and else.
DPI = 120
NAMES, TOP, MARGIN = 1.2, 0.85, 0.15


@rc_context(STYLE)
def corruption_sheet(
    images: Images, corrupted: Mapping[str, Images], titles: Mapping[str, str], heading: str
) -> Figure:
    """Draw a row a family: each image as it was, then its severities from left to right.

    Args:
        images: uint8 ``[n, C, H, W]``, one or a few.
        corrupted: ``<family>.<severity>``, the same images corrupted; all families have the same
            severities.
        titles: What the families are called, by their names; their order is that of the rows.
        heading: Stands above all.
    """
    names = [name.rpartition(".") for name in corrupted]
    families = [family for family in titles if family in {name[0] for name in names}]
    severities = sorted({name[2] for name in names}, key=int)
    sheets = [
        [[image, *(corrupted[f"{f}.{s}"][n] for s in severities)] for f in families]
        for n, image in enumerate(images)
    ]
    longest = max(images.shape[2:])
    scale = TILE // longest if longest <= TILE else TILE / longest  # (whole: pixels stay square)
    gap = max(1, round(GAP / scale))
    mosaics = [_mosaic(sheet, gap) for sheet in sheets]
    high, wide = (side * scale / DPI for side in mosaics[0].shape[:2])
    step = wide + 2 * MARGIN
    width, height = NAMES + len(mosaics) * step, high + TOP + MARGIN
    figure = Figure(figsize=(width, height), dpi=DPI)
    row, column = (side + gap for side in images.shape[2:])
    for n, mosaic in enumerate(mosaics):
        left = NAMES + n * step
        axes = figure.add_axes((left / width, MARGIN / height, wide / width, high / height))
        axes.imshow(mosaic, aspect="auto")
        axes.set_xticks((column - 1) / 2 - gap / 2 + column * np.arange(1 + len(severities)))
        axes.set_xticklabels(["clean", *severities])
        axes.set_yticks((row - 1) / 2 - gap / 2 + row * np.arange(len(families)))
        axes.set_yticklabels([titles[family] for family in families] if n == 0 else [])
        axes.tick_params(length=0, pad=5, top=False, labeltop=True, labelbottom=False)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
    set_title(figure, heading, y=1 - 0.15 / height)
    return figure


def _mosaic(sheet: list[list[Images]], gap: int) -> Images:
    """Return rows of images ``[C, H, W]`` as one, uint8 ``[H, W, 3]``, with white between them."""
    lines = []
    for line in sheet:
        tiles = [np.broadcast_to(tile, (3, *tile.shape[1:])).transpose(1, 2, 0) for tile in line]
        padded = [np.pad(t, ((0, gap), (0, gap), (0, 0)), constant_values=255) for t in tiles]
        lines.append(np.concatenate(padded, axis=1))
    return np.concatenate(lines)[:-gap, :-gap]
