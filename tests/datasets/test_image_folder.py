from __future__ import annotations

import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kedro.io import DatasetError
from PIL import Image

from guided_dml.datasets.image_folder import ImageFolderDataset
from guided_dml.errors import InputError
from guided_dml.types import LabelledImages

RNG = np.random.default_rng(0)


def pixels(file: Path) -> np.ndarray:
    return np.asarray(Image.open(file))


def draw(path: Path, mode: str = "L", size: tuple[int, int] = (6, 5), **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = RNG.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(path, **options)
    return path


def load(path: Path, **options: Any) -> LabelledImages:
    return ImageFolderDataset(path=str(path), **options).load()


def fill(folder: Path, count: int = 10, suffix: str = "png", mode: str = "L") -> Path:
    for name in ("cat", "dog"):
        for number in range(count):
            draw(folder / name / f"{number:02}.{suffix}", mode)
    return folder


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(DatasetError) as caught:
        ImageFolderDataset(path=str(path), **options).load()
    assert isinstance(caught.value.__cause__, InputError)
    return str(caught.value.__cause__)


def test_given_parts_are_read_as_they_are(tmp_path: Path) -> None:
    fill(tmp_path / "train", 4)
    fill(tmp_path / "test", 2)
    draw(tmp_path / "train" / "ant" / "0.png")
    read = load(tmp_path)
    assert read.names == [
        "train/ant/0.png",
        *[f"train/{name}/{i:02}.png" for name in ("cat", "dog") for i in range(4)],
        *[f"test/{name}/{i:02}.png" for name in ("cat", "dog") for i in range(2)],
    ]
    files = [tmp_path / name for name in read.names]
    assert np.array_equal(read.images[:, 0], np.stack(list(map(pixels, files))))
    assert [read.classes[label] for label in read.labels] == [file.parent.name for file in files]
    assert read.classes == ["ant", "cat", "dog"]
    assert read.labels.dtype == np.int64
    assert read.test is not None
    assert read.test.tolist() == [False] * 9 + [True] * 4
    assert read.facts["source"] == str(tmp_path)
    assert read.facts["sizes_found"] == 1


def test_one_folder_is_read_whole(tmp_path: Path) -> None:
    fill(tmp_path / "test", 2)  # (a name that says nothing here)
    read = load(tmp_path / "test")
    assert read.names == ["cat/00.png", "cat/01.png", "dog/00.png", "dog/01.png"]
    assert read.test is None


def test_the_fingerprint_is_of_the_files_and_of_what_changes_their_pixels(tmp_path: Path) -> None:
    folder = fill(tmp_path / "here", 3)
    first = ImageFolderDataset(path=str(folder)).fingerprint()
    assert load(folder).facts["fingerprint"] == first
    shutil.copytree(folder, tmp_path / "there")
    assert ImageFolderDataset(path=str(tmp_path / "there")).fingerprint() == first
    others = [
        ImageFolderDataset(path=str(folder), **options).fingerprint()
        for options in (
            {"image_size": 4},
            {"channels": 3},
            {"resize": "pad"},
            {"background": "red"},
        )
    ]
    (folder / "cat" / "00.png").rename(folder / "cat" / "x.png")
    others.append(ImageFolderDataset(path=str(folder)).fingerprint())
    draw(folder / "cat" / "x.png")
    others.append(ImageFolderDataset(path=str(folder)).fingerprint())
    assert len({first, *others}) == 7


@pytest.mark.parametrize("suffix", ["png", "jpg", "JPEG", "webp"])
@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
def test_formats(tmp_path: Path, suffix: str, mode: str, channels: int) -> None:
    fill(tmp_path, suffix=suffix, mode=mode)
    stored = 3 if suffix == "webp" else channels  # (WebP knows no grey)
    read = load(tmp_path)
    assert read.images.dtype == np.uint8
    assert read.images.shape == (20, stored, 5, 6)
    for image, name in zip(read.images, read.names, strict=True):
        expected = pixels(tmp_path / name).reshape(5, 6, stored)
        assert np.array_equal(image, expected.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("mode", "channels"), [("1", 1), ("LA", 1), ("L", 1), ("P", 3), ("RGBA", 3), ("RGB", 3)]
)
def test_modes(tmp_path: Path, mode: str, channels: int) -> None:
    file = draw(tmp_path / "a" / "0.png", mode)
    read = load(tmp_path)
    assert read.images.shape == (1, channels, 5, 6)
    expected = np.asarray(Image.open(file).convert({1: "L", 3: "RGB"}[channels]))
    assert np.array_equal(read.images[0], expected.reshape(5, 6, channels).transpose(2, 0, 1))
    assert not any(where.any() for where in read.changed.values())


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_channels_converts_a_mixture(tmp_path: Path, channels: int, mode: str) -> None:
    grey, colour = (draw(tmp_path / m / "0.png", m) for m in ("L", "RGB"))
    for image, file in zip(load(tmp_path, channels=channels).images, (grey, colour), strict=True):
        expected = np.asarray(Image.open(file).convert(mode)).reshape(5, 6, channels)
        assert np.array_equal(image, expected.transpose(2, 0, 1))
    message = refusal(tmp_path)
    assert f"{colour}: grey and colour images are mixed" in message
    assert "set channels to 1 or 3" in message


def test_image_size_resizes_and_says_which(tmp_path: Path) -> None:
    for number, size in enumerate([(6, 5), (8, 8), (8, 8), (9, 4)]):
        draw(tmp_path / f"class {number % 2}" / f"{number}.png", size=size)
    read = load(tmp_path, image_size=8)
    assert read.images.shape == (4, 1, 8, 8)
    assert read.changed["resized"].tolist() == [True, False, False, True]
    assert read.facts["sizes_found"] == 3
    assert np.array_equal(read.images[1, 0], pixels(tmp_path / "class 0" / "2.png"))
    message = refusal(tmp_path)
    assert "2.png: 8x8 pixels where the images before have 5x6" in message
    assert "set image_size" in message


def test_hidden_files_and_loose_files_beside_the_classes_are_ignored(tmp_path: Path) -> None:
    fill(tmp_path)
    before = load(tmp_path)
    for name in (".DS_Store", "Thumbs.db", "thumbs.DB", "Desktop.ini", "._00.png"):
        (tmp_path / "cat" / name).write_text("x")
    (tmp_path / ".git").mkdir()
    (tmp_path / "README.txt").write_text("x")
    after = load(tmp_path)
    assert np.array_equal(before.images, after.images)
    assert before.classes == after.classes


def no_folder(root: Path) -> Path:
    return root / "none"


def a_file(root: Path) -> Path:
    return draw(root / "file.png")


def empty_folder(root: Path) -> Path:
    return root


def hidden_class(root: Path) -> Path:
    draw(root / ".cat" / "0.png")
    return root


def empty_class(root: Path) -> Path:
    (fill(root) / "eel").mkdir()
    return root


def hidden_image(root: Path) -> Path:
    draw(fill(root) / "eel" / ".0.png")
    return root


def text(root: Path) -> Path:
    (fill(root) / "cat" / "text.png").write_text("this is no image")
    return root


def postscript(root: Path) -> Path:
    (fill(root) / "cat" / "0.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    return root


def animated(root: Path) -> Path:
    frames = [Image.new("RGB", (6, 5), colour) for colour in ("red", "blue")]
    frames[0].save(fill(root) / "cat" / "film.webp", save_all=True, append_images=frames[1:])
    return root


def animated_png(root: Path) -> Path:
    frames = [Image.new("RGB", (6, 5), colour) for colour in ("red", "blue")]
    frames[0].save(fill(root) / "cat" / "film.png", save_all=True, append_images=frames[1:])
    return root


def linked_to_nothing(root: Path) -> Path:
    (fill(root) / "eel").symlink_to(root / "gone")
    return root


def linked_in_a_circle(root: Path) -> Path:
    (fill(root) / "cat" / "loop.png").symlink_to(root / "cat" / "loop.png")
    return root


def linked_to_itself(root: Path) -> Path:
    (fill(root) / "cat" / "loop").symlink_to(root)
    return root


def pipe(root: Path) -> Path:
    os.mkfifo(fill(root) / "cat" / "pipe.png")
    return root


def image_beside_the_classes(root: Path) -> Path:
    draw(fill(root) / "0.png")
    return root


def third_part(root: Path) -> Path:
    for part in ("train", "test", "val"):
        fill(root / part, 2)
    return root


def nothing(root: Path) -> Path:
    (fill(root) / "cat" / "empty.jpg").touch()
    return root


def foreign(root: Path) -> Path:
    draw(fill(root) / "cat" / "0.gif")
    return root


def nested(root: Path) -> Path:
    draw(fill(root) / "cat" / "more" / "0.png")
    return root


def named_like_an_image(root: Path) -> Path:
    (fill(root) / "dog" / "folder.png").mkdir()
    return root


def deep_grey(root: Path) -> Path:
    Image.fromarray(np.full((5, 6), 40000, np.uint16)).save(fill(root) / "cat" / "deep.png")
    return root


def floats(root: Path) -> Path:
    image = Image.fromarray(np.full((5, 6), 0.5, np.float32))
    image.save(fill(root) / "cat" / "float.png", format="TIFF")
    return root


def bomb(root: Path) -> Path:
    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 1, 0, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    (fill(root) / "cat" / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + body)
    return root


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (no_folder, "none: there is no such folder"),
        (a_file, "file.png: there is no such folder"),
        (empty_folder, "no class folders in it; FOLDER/CLASS/IMAGE is needed"),
        (hidden_class, "no class folders in it"),
        (empty_class, "'eel' (a class without images)"),
        (hidden_image, "'eel' (a class without images)"),
        (text, "text.png: this is no image (PNG, JPEG, WebP); remove it"),
        (nothing, "empty.jpg: this is no image but an empty file"),
        (postscript, "cat/0.png: this is no image"),
        (foreign, "'cat/0.gif' (not an image); remove or move them"),
        (nested, "'cat/more' (a folder)"),
        (named_like_an_image, "'dog/folder.png' (a folder)"),
        (linked_to_nothing, "'eel' (a broken link)"),
        (linked_in_a_circle, "'cat/loop.png' (a broken link)"),
        (linked_to_itself, "'cat/loop' (a folder)"),
        (pipe, "'cat/pipe.png' (no regular file)"),
        (image_beside_the_classes, "no images of a class: '0.png' (an image)"),
        (third_part, "'val' (a folder)"),
        (animated, "film.webp: an animated image"),
        (animated_png, "film.png: an animated image"),
        (deep_grey, "deep.png: 16 bits a channel or floats (I;16)"),
        (floats, "float.png: this is no image"),
        (bomb, "huge.png: this image is too large; at most 89478485 pixels are read"),
    ],
)
def test_bad_folders_are_refused(tmp_path: Path, make: Callable[[Path], Path], words: str) -> None:
    path = make(tmp_path)
    message = refusal(path)
    assert words in message
    assert str(path) in message


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
    file = draw(tmp_path / "cat" / f"cut.{suffix}", mode, (40, 40), **options)
    load(tmp_path)
    whole = file.read_bytes()
    cuts = len(whole) - end - np.unique(np.geomspace(1, len(whole) - end, 40).astype(int))
    for cut in cuts:
        file.write_bytes(whole[:cut])
        message = refusal(tmp_path)
        assert f"cut.{suffix}: this" in message
        assert "damaged" in message or "no image" in message


def test_what_is_in_the_way_is_listed_at_once(tmp_path: Path) -> None:
    fill(tmp_path)
    for number in range(13):
        (tmp_path / "cat" / f"note {number:02}.txt").touch()
    message = refusal(tmp_path)
    assert "'cat/note 00.txt' (not an image), " in message
    assert "'cat/note 09.txt' (not an image) and 3 more; remove" in message
    assert "note 10" not in message


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *[("channels", value) for value in (0, 2, 4, "RGB")],
        *[("image_size", value) for value in (0, -1, 32.0, "32", True)],
        *[("resize", value) for value in ("stretch", None, 1)],
        *[("background", value) for value in ("whit", None, 255, "#ffffff80")],
    ],
)
def test_options_of_no_such_value_are_refused(option: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"{option}: {value!r} given; must be "):
        ImageFolderDataset(path="x", **{option: value})


def write_png(path: Path, bits: int, colour_type: int, row: bytes, **more: bytes) -> Path:
    """Write what Pillow cannot: any number of bits, four equal rows of four pixels."""

    def chunk(kind: str, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind.encode() + content))
        return struct.pack(">I", len(content)) + kind.encode() + content + check

    header = struct.pack(">IIBBBBB", 4, 4, bits, colour_type, 0, 0, 0)
    chunks = {"IHDR": header, **more, "IDAT": zlib.compress(4 * (b"\0" + row)), "IEND": b""}
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(map(chunk, chunks, chunks.values())))
    return path


@pytest.mark.parametrize("colour_type", [2, 4])
def test_sixteen_bits_in_colour_are_refused_not_cut(tmp_path: Path, colour_type: int) -> None:
    row = bytes(4 * 2 * {2: 3, 4: 2}[colour_type])
    deep = write_png(fill(tmp_path, 4) / "dog" / "deep.png", 16, colour_type, row)
    with Image.open(deep) as image:
        assert image.mode in ("RGB", "RGBA")  # (as Pillow has it)
    assert f"{deep}: 16 bits a channel" in refusal(tmp_path)


def test_one_part_without_the_other_is_refused(tmp_path: Path) -> None:
    fill(tmp_path / "train", 4)
    assert "one of train/ and test/ is missing" in refusal(tmp_path)


CORNER = np.zeros((4, 6, 3), np.uint8)
CORNER[:2, :2] = 200


@pytest.mark.parametrize("orientation", [None, *range(10)])
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_images_stand_upright(tmp_path: Path, suffix: str, orientation: int | None) -> None:
    (tmp_path / "a").mkdir()
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    options: dict[str, Any] = {} if suffix == "png" else {"quality": 100}
    Image.fromarray(CORNER).save(tmp_path / "a" / f"0.{suffix}", exif=exif, **options)
    read = load(tmp_path)
    rotated = {2: (0, 5), 3: (3, 5), 4: (3, 0), 5: (0, 0), 6: (0, 3), 7: (5, 3), 8: (5, 0)}
    height, width = (6, 4) if orientation in (5, 6, 7, 8) else (4, 6)
    assert read.images.shape == (1, 3, height, width)
    bright = np.argwhere(read.images[0, 0] > 100)
    place = rotated.get(orientation or 1, (0, 0))
    assert place in [tuple(point) for point in bright.tolist()]
    assert len(bright) == pytest.approx(4, abs=2)
    assert read.changed["turned"].tolist() == [orientation in rotated]


@pytest.mark.parametrize(
    "exif", [b"junk" * 9, b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"]
)
def test_damaged_metadata_turn_nothing(tmp_path: Path, exif: bytes) -> None:
    draw(tmp_path / "a" / "0.jpg", "RGB", exif=exif)
    assert not load(tmp_path).changed["turned"].any()


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
    (tmp_path / "a").mkdir()
    options: dict[str, Any] = {"lossless": True, "exact": True} if suffix == "webp" else {}
    transparent("RGBA").save(tmp_path / "a" / f"0.{suffix}", **options)
    read = load(tmp_path, background=background)
    assert read.images[0, :, 0].T.tolist() == [[200, 0, 0]] * 2 + [list(colour)] * 2
    assert read.changed["composited"].tolist() == [True]


def test_transparency_of_greys_palettes_and_single_colours(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    transparent("LA").save(tmp_path / "a" / "0.png")
    grey = Image.fromarray(np.array([[9, 9, 7, 7]], np.uint8))
    grey.save(tmp_path / "a" / "1.png", transparency=7)
    read = load(tmp_path, image_size=4, channels=1, background="#808080")
    assert read.images[:, 0, 0, -1].tolist() == [128, 128]
    (tmp_path / "b").mkdir()
    palette = Image.fromarray(np.array([[0, 0, 1, 1]], np.uint8), "P")
    palette.putpalette([200, 0, 0, 0, 200, 0])
    palette.save(tmp_path / "b" / "2.png", transparency=bytes([255, 0]))
    Image.new("RGB", (4, 1), (1, 2, 3)).save(tmp_path / "b" / "3.png", transparency=(1, 2, 3))
    Image.new("RGB", (4, 1), (1, 2, 3)).save(tmp_path / "b" / "4.png", transparency=(9, 9, 9))
    read = load(tmp_path, image_size=4, channels=3)
    assert read.images[2, :, 0].T.tolist() == [[200, 0, 0]] * 2 + [[255, 255, 255]] * 2
    assert read.images[3:, :, 0, 0].tolist() == [[255, 255, 255], [1, 2, 3]]
    assert read.changed["composited"].tolist() == [True, True, True, True, False]


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
    (tmp_path / "a").mkdir()
    write_png(tmp_path / "a" / "0.png", bits, 0, row, tRNS=b"\0\1")
    read = load(tmp_path)
    assert read.images.tolist() == [[4 * [levels]]]
    assert read.changed["composited"].tolist() == [True]


def test_what_is_no_square_is_resized_by_the_rule(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    bands = np.repeat(np.array([0, 100, 100, 200], np.uint8), 6)[None].repeat(12, 0)
    Image.fromarray(bands).save(tmp_path / "a" / "0.png")
    squashed, cropped, padded = (
        load(tmp_path, image_size=4, resize=rule, background="#fff").images[0, 0]
        for rule in ("squash", "crop", "pad")
    )
    assert np.abs(cropped.astype(int) - 100).max() < 15
    assert (squashed == squashed[0]).all()
    assert squashed[0, 0] < 50 < 150 < squashed[0, 3]
    assert (padded[1:3] == squashed[1:3]).all()
    assert (padded[[0, 3]] == 255).all()


@pytest.mark.parametrize("size", [(3000, 1), (1, 3000)])
@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_a_line_is_resized_as_well(tmp_path: Path, resize: str, size: tuple[int, int]) -> None:
    draw(tmp_path / "a" / "0.png", size=size)
    assert load(tmp_path, image_size=4, resize=resize).images.shape == (1, 1, 4, 4)


def test_of_a_cameras_picture_in_several_sizes_the_first_counts(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    first, preview = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (4, 4), "blue")
    first.save(tmp_path / "a" / "0.jpg", "MPO", save_all=True, append_images=[preview])
    read = load(tmp_path)
    assert read.images.shape == (1, 3, 8, 8)
    assert read.images[0, 0].min() > 200
