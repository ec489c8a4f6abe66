from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from guided_dml.figures.corruption_sheet import DPI, TILE, corruption_sheet
from pixels import drawn

TITLES = {"jpeg": "JPEG", "fog": "Fog", "shift": "Shift"}


def made(shape: tuple[int, ...], count: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return clean images and two families of corrupted ones, in no order, each tile another."""
    rng = np.random.default_rng(0)
    names = ["shift.2", "jpeg.3", "shift.1", "jpeg.1", "jpeg.2", "shift.3"]
    clean, *others = rng.integers(0, 255, (7, count, *shape), np.uint8)
    return clean, dict(zip(names, others, strict=True))


def tile(pixels: np.ndarray, figure: Figure, number: int, row: int, column: int) -> np.ndarray:
    """Return what is drawn of an image of 8x8 pixels: 64x64 pixels, 8 apart from the next."""
    box = figure.axes[number].get_position()
    left = round(box.x0 * pixels.shape[1]) + 72 * column
    top = round((1 - box.y1) * pixels.shape[0]) + 72 * row
    return pixels[top : top + TILE, left : left + TILE]


@pytest.mark.parametrize("channels", [1, 3])
def test_each_tile_is_at_its_place_and_its_pixels_are_squares(channels: int) -> None:
    clean, corrupted = made((channels, 8, 8), 2)
    figure = corruption_sheet(clean, corrupted, TITLES, "a heading")
    pixels = drawn(figure, DPI)
    for number in range(2):
        for row, family in enumerate(["jpeg", "shift"]):
            rows = [clean, *(corrupted[f"{family}.{severity}"] for severity in (1, 2, 3))]
            for column, images in enumerate(rows):
                expected = images[number].repeat(8, 1).repeat(8, 2).transpose(1, 2, 0)
                found = tile(pixels, figure, number, row, column).astype(int)
                # (an edge may be a pixel off: the figure has whole pixels, its axes need not)
                assert (np.abs(found - expected)[4:-4:8, 4:-4:8] <= 1).all()


def test_rows_are_the_families_that_there_are_in_the_given_order() -> None:
    figure = corruption_sheet(*made((1, 8, 8), 2), TITLES, "a heading")
    first, second = figure.axes
    assert [label.get_text() for label in first.get_yticklabels()] == ["JPEG", "Shift"]
    assert [label.get_text() for label in first.get_xticklabels()] == ["clean", "1", "2", "3"]
    assert not any(label.get_text() for label in second.get_yticklabels())


@pytest.mark.parametrize("shape", [(3, 224, 300), (1, 28, 20), (3, 5, 5)])
@pytest.mark.parametrize("count", [1, 3])
def test_images_of_any_size_keep_their_proportions(shape: tuple[int, int, int], count: int) -> None:
    figure = corruption_sheet(*made(shape, count), TITLES, "a heading")
    assert len(figure.axes) == count
    for axes in figure.axes:
        high, wide = axes.get_images()[0].get_size()
        box = axes.get_position()
        width, height = figure.get_size_inches() * DPI
        assert box.width * width / wide == pytest.approx(box.height * height / high)
        assert 0 < box.x0 < box.x1 < 1
        assert 0 < box.y0 < box.y1 < 1
        assert box.width * width < 4 * (TILE + 10)
    assert drawn(figure).std() > 0
