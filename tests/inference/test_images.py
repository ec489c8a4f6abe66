"""One image as pixels, whatever its file is like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from guided_dml.errors import InputError
from guided_dml.inference.images import Resize, Rules, read_image
from image_files import draw, write_png

PLAIN = Rules(None, None, "squash", "white")


@pytest.mark.parametrize(
    ("suffix", "mode", "options", "end"),
    [
        ("png", "L", {}, 20),  # (of a PNG the last bytes hold no pixels)
        ("png", "RGB", {}, 20),
        ("jpg", "L", {}, 0),
        ("jpg", "RGB", {"progressive": True}, 0),
        ("webp", "RGB", {}, 0),
        ("webp", "RGB", {"lossless": True}, 0),
    ],
)
def test_a_truncated_image_is_refused_wherever_it_ends(
    tmp_path: Path, suffix: str, mode: str, options: dict[str, Any], end: int
) -> None:
    file = draw(tmp_path / f"cut.{suffix}", mode, (40, 40), **options)
    read_image(file, PLAIN)
    whole = file.read_bytes()
    cuts = len(whole) - end - np.unique(np.geomspace(1, len(whole) - end, 40).astype(int))
    for cut in cuts:
        file.write_bytes(whole[:cut])
        with pytest.raises(InputError, match=rf"cut\.{suffix}: this .*(damaged|no image)"):
            read_image(file, PLAIN)


@pytest.mark.parametrize("colour_type", [2, 4])
def test_sixteen_bits_in_colour_are_refused_not_cut(tmp_path: Path, colour_type: int) -> None:
    row = bytes(4 * 2 * {2: 3, 4: 2}[colour_type])
    deep = write_png(tmp_path / "deep.png", 16, colour_type, row)
    with Image.open(deep) as image:
        assert image.mode in ("RGB", "RGBA")  # (as Pillow has it)
    with pytest.raises(InputError, match=r"deep\.png: 16 bits a channel"):
        read_image(deep, PLAIN)


CORNER = np.zeros((4, 6, 3), np.uint8)
CORNER[:2, :2] = 200


@pytest.mark.parametrize("orientation", [None, *range(10)])
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_images_stand_upright(tmp_path: Path, suffix: str, orientation: int | None) -> None:
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    options: dict[str, Any] = {} if suffix == "png" else {"quality": 100}
    Image.fromarray(CORNER).save(tmp_path / f"0.{suffix}", exif=exif, **options)
    read = read_image(tmp_path / f"0.{suffix}", PLAIN)
    rotated = {2: (0, 5), 3: (3, 5), 4: (3, 0), 5: (0, 0), 6: (0, 3), 7: (5, 3), 8: (5, 0)}
    height, width = (6, 4) if orientation in (5, 6, 7, 8) else (4, 6)
    assert read.pixels.shape == (3, height, width)
    bright = np.argwhere(read.pixels[0] > 100)
    place = rotated.get(orientation or 1, (0, 0))
    assert place in [tuple(point) for point in bright.tolist()]
    assert len(bright) == pytest.approx(4, abs=2)
    assert read.changed == ({"turned"} if orientation in rotated else set())


@pytest.mark.parametrize(
    "exif",
    [
        b"junk" * 9,
        b"Exif\0\0II*\0",
        b"Exif\0\0XX*\0\x08\0\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff",
    ],
)
@pytest.mark.parametrize(
    ("suffix", "more"), [("jpg", {}), ("jpg", {"dpi": (72, 72)}), ("png", {}), ("webp", {})]
)
def test_damaged_metadata_turn_nothing(
    tmp_path: Path, suffix: str, more: dict[str, Any], exif: bytes
) -> None:
    file = draw(tmp_path / f"0.{suffix}", "RGB", exif=exif, **more)
    assert not read_image(file, PLAIN).changed


def transparent(mode: str) -> Image.Image:
    """Return a red image of which the right half is transparent, and green below."""
    image = Image.new("RGBA", (4, 2), (200, 0, 0, 255))
    image.paste((0, 200, 0, 0), (2, 0, 4, 2))
    return image if mode == "RGBA" else image.convert(mode)


@pytest.mark.parametrize(
    ("background", "colour"), [("white", (255, 255, 255)), ("#102030", (16, 32, 48))]
)
@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_what_is_below_transparent_pixels_does_not_count(
    tmp_path: Path, suffix: str, background: str, colour: tuple[int, ...]
) -> None:
    options: dict[str, Any] = {"lossless": True, "exact": True} if suffix == "webp" else {}
    transparent("RGBA").save(tmp_path / f"0.{suffix}", **options)
    read = read_image(tmp_path / f"0.{suffix}", PLAIN._replace(background=background))
    assert read.pixels[:, 0].T.tolist() == [[200, 0, 0]] * 2 + [list(colour)] * 2
    assert read.changed == {"composited"}


def test_transparency_of_greys_palettes_and_single_colours(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.png" for number in range(5)]
    transparent("LA").save(files[0])
    grey = Image.fromarray(np.array([[9, 9, 7, 7]], np.uint8))
    grey.save(files[1], transparency=7)
    palette = Image.fromarray(np.array([[0, 0, 1, 1]], np.uint8), "P")
    palette.putpalette([200, 0, 0, 0, 200, 0])
    palette.save(files[2], transparency=bytes([255, 0]))
    Image.new("RGB", (4, 1), (1, 2, 3)).save(files[3], transparency=(1, 2, 3))
    Image.new("RGB", (4, 1), (1, 2, 3)).save(files[4], transparency=(9, 9, 9))
    greys = [read_image(file, Rules(4, 1, "squash", "#808080")) for file in files[:2]]
    assert [read.pixels[0, 0, -1] for read in greys] == [128, 128]
    colours = [read_image(file, PLAIN._replace(channels=3)) for file in files]
    assert colours[2].pixels[:, 0].T.tolist() == [[200, 0, 0]] * 2 + [[255, 255, 255]] * 2
    assert [read.pixels[:, 0, 0].tolist() for read in colours[3:]] == [[255] * 3, [1, 2, 3]]
    assert [read.changed for read in colours] == [{"composited"}] * 4 + [set()]


@pytest.mark.parametrize(
    ("bits", "row", "levels"),
    [
        (1, b"\xa0", [255, 0, 255, 0]),
        (2, b"\x1b", [0, 255, 170, 255]),  # (levels 0 to 3; 1 is transparent, so white)
        (4, b"\x01\xf1", [0, 255, 255, 255]),
    ],
)
def test_few_bits_of_grey_have_a_transparent_level(
    tmp_path: Path, bits: int, row: bytes, levels: list[int]
) -> None:
    read = read_image(write_png(tmp_path / "0.png", bits, 0, row, tRNS=b"\0\1"), PLAIN)
    assert read.pixels.tolist() == [4 * [levels]]
    assert read.changed == {"composited"}


def test_what_is_no_square_is_resized_by_the_rule(tmp_path: Path) -> None:
    bands = np.repeat(np.array([0, 100, 100, 200], np.uint8), 6)[None].repeat(12, 0)
    Image.fromarray(bands).save(tmp_path / "0.png")
    rules: tuple[Resize, ...] = ("squash", "crop", "pad")
    squashed, cropped, padded = (
        read_image(tmp_path / "0.png", Rules(4, None, rule, "#fff")).pixels[0] for rule in rules
    )
    assert np.abs(cropped.astype(int) - 100).max() < 15
    assert (squashed == squashed[0]).all()
    assert squashed[0, 0] < 50 < 150 < squashed[0, 3]
    assert (padded[1:3] == squashed[1:3]).all()
    assert (padded[[0, 3]] == 255).all()


@pytest.mark.parametrize("size", [(3000, 1), (1, 3000)])
@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_a_line_is_resized_as_well(tmp_path: Path, resize: Resize, size: tuple[int, int]) -> None:
    line = draw(tmp_path / "0.png", size=size)
    assert read_image(line, Rules(4, None, resize, "white")).pixels.shape == (1, 4, 4)


@pytest.mark.parametrize("size", [(640, 9), (9, 640), (64, 1), (300_000, 1)])
def test_a_padded_line_is_still_seen(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size, "black").save(tmp_path / "line.png")
    seen = read_image(tmp_path / "line.png", Rules(32, 3, "pad", "white")).pixels
    assert (seen == 0).all(0).sum() == 32


def test_an_image_just_above_the_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = draw(tmp_path / "0.png", "L", (10, 11))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 109)
    with pytest.raises(InputError, match=r"0\.png: this image is too large; at most 109 pixels"):
        read_image(file, PLAIN)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 110)
    assert read_image(file, PLAIN).size == (11, 10)


def test_of_a_cameras_picture_in_several_sizes_the_first_counts(tmp_path: Path) -> None:
    first, preview = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (4, 4), "blue")
    first.save(tmp_path / "0.jpg", "MPO", save_all=True, append_images=[preview])
    read = read_image(tmp_path / "0.jpg", PLAIN)
    assert read.pixels.shape == (3, 8, 8)
    assert read.pixels[0].min() > 200
