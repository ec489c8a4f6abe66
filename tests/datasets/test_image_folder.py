from __future__ import annotations

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

RNG = np.random.default_rng(0)


def pixels(file: Path) -> np.ndarray:
    return np.asarray(Image.open(file))


def draw(path: Path, mode: str = "L", size: tuple[int, int] = (6, 5), **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = RNG.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(path, **options)
    return path


def fill(folder: Path, count: int = 10, suffix: str = "png", mode: str = "L") -> Path:
    for name in ("cat", "dog"):
        for number in range(count):
            draw(folder / name / f"{number:02}.{suffix}", mode)
    return folder


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(DatasetError) as caught:
        ImageFolderDataset(path=str(path), split="train", **options).load()
    assert isinstance(caught.value.__cause__, InputError)
    return str(caught.value.__cause__)


def test_given_parts_are_read_as_they_are(tmp_path: Path) -> None:
    fill(tmp_path / "train", 4)
    fill(tmp_path / "test", 2)
    for split, count in (("train", 4), ("test", 2)):
        read = ImageFolderDataset(path=str(tmp_path), split=split).load()  # type: ignore[arg-type]
        files = sorted((tmp_path / split).rglob("*.png"))
        assert np.array_equal(read.images[:, 0], np.stack(list(map(pixels, files))))
        assert read.labels.tolist() == [0] * count + [1] * count
        assert read.labels.dtype == np.int64
        assert read.classes == ["cat", "dog"]
        assert read.facts == {"source": str(tmp_path / split), "resized": 0, "sizes_found": 1}


def test_one_folder_is_split_by_the_seed(tmp_path: Path) -> None:
    fill(tmp_path)

    def part(split: Any, seed: int) -> list[bytes]:
        read = ImageFolderDataset(path=str(tmp_path), split=split, seed=seed, test_share=0.3).load()
        share = {"train": 7, "test": 3}[split]
        assert np.bincount(read.labels).tolist() == [share, share]
        return [image.tobytes() for image in read.images]

    every = [pixels(file).tobytes() for file in tmp_path.rglob("*.png")]
    assert sorted(part("train", 1) + part("test", 1)) == sorted(every)
    assert part("train", 1) == part("train", 1)
    assert part("train", 1) != part("train", 2)


@pytest.mark.parametrize("suffix", ["png", "jpg", "JPEG", "webp"])
@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
def test_formats(tmp_path: Path, suffix: str, mode: str, channels: int) -> None:
    fill(tmp_path, suffix=suffix, mode=mode)
    stored = 3 if suffix == "webp" else channels  # (WebP knows no grey)
    read = ImageFolderDataset(path=str(tmp_path), split="train").load()
    assert read.images.dtype == np.uint8
    assert read.images.shape == (16, stored, 5, 6)
    expected = {
        pixels(file).reshape(5, 6, stored).transpose(2, 0, 1).tobytes()
        for file in tmp_path.rglob(f"*.{suffix}")
    }
    assert {image.tobytes() for image in read.images} <= expected


@pytest.mark.parametrize(
    ("mode", "channels"), [("1", 1), ("LA", 1), ("L", 1), ("P", 3), ("RGBA", 3), ("RGB", 3)]
)
def test_modes(tmp_path: Path, mode: str, channels: int) -> None:
    for place in ("a", "b"):
        file = draw(tmp_path / "train" / place / "0.png", mode)
    (tmp_path / "test").mkdir()
    images = ImageFolderDataset(path=str(tmp_path), split="train").load().images
    assert images.shape == (2, channels, 5, 6)
    expected = np.asarray(Image.open(file).convert({1: "L", 3: "RGB"}[channels]))
    assert np.array_equal(images[1], expected.reshape(5, 6, channels).transpose(2, 0, 1))


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_channels_converts_a_mixture(tmp_path: Path, channels: int, mode: str) -> None:
    grey, colour = (draw(tmp_path / "train" / m / "0.png", m) for m in ("L", "RGB"))
    (tmp_path / "test").mkdir()
    read = ImageFolderDataset(path=str(tmp_path), split="train", channels=channels).load()
    for image, file in zip(read.images, (grey, colour), strict=True):
        expected = np.asarray(Image.open(file).convert(mode)).reshape(5, 6, channels)
        assert np.array_equal(image, expected.transpose(2, 0, 1))
    message = refusal(tmp_path)
    assert f"{colour}: grey and colour images are mixed" in message
    assert "set channels to 1 or 3" in message


def test_image_size_resizes_and_counts(tmp_path: Path) -> None:
    for number, size in enumerate([(6, 5), (8, 8), (8, 8), (9, 4)]):
        draw(tmp_path / "train" / f"class {number % 2}" / f"{number}.png", size=size)
    (tmp_path / "test").mkdir()
    read = ImageFolderDataset(path=str(tmp_path), split="train", image_size=8).load()
    assert read.images.shape == (4, 1, 8, 8)
    assert read.facts == {"source": str(tmp_path / "train"), "resized": 2, "sizes_found": 3}
    kept = pixels(tmp_path / "train" / "class 0" / "2.png")
    assert np.array_equal(read.images[1, 0], kept)
    message = refusal(tmp_path)
    assert "2.png: 8x8 pixels where the images before have 5x6" in message
    assert "set image_size" in message


def test_hidden_files_and_loose_files_beside_the_classes_are_ignored(tmp_path: Path) -> None:
    fill(tmp_path)
    before = ImageFolderDataset(path=str(tmp_path), split="train").load()
    (tmp_path / "cat" / ".DS_Store").write_text("x")
    (tmp_path / ".git").mkdir()
    (tmp_path / "README.txt").write_text("x")
    after = ImageFolderDataset(path=str(tmp_path), split="train").load()
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


def single(root: Path) -> Path:
    draw(fill(root) / "eel" / "0.png")
    return root


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (no_folder, "none: there is no such folder"),
        (a_file, "file.png: there is no such folder"),
        (empty_folder, "no class folders in it; FOLDER/CLASS/IMAGE is needed"),
        (hidden_class, "no class folders in it"),
        (empty_class, "eel: this class has no images"),
        (hidden_image, "eel: this class has no images"),
        (text, "text.png: this is no image; remove it"),
        (nothing, "empty.jpg: this is no image; remove it"),
        (foreign, "0.gif: not an image; allowed are .jpeg, .jpg, .png, .webp"),
        (nested, "more: not an image; allowed are"),
        (named_like_an_image, "folder.png: this image is damaged"),
        (deep_grey, "deep.png: 16 bits a channel; 8 are needed"),
        (floats, "float.png: its pixels are 'F' (16 bit or float)"),
        (bomb, "huge.png: this image is damaged"),
        (single, "class 'eel' has 1 images, too few to be in both parts"),
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
    file = draw(tmp_path / "train" / "cat" / f"cut.{suffix}", mode, (40, 40), **options)
    (tmp_path / "test").mkdir()
    ImageFolderDataset(path=str(tmp_path), split="train").load()
    whole = file.read_bytes()
    cuts = len(whole) - end - np.unique(np.geomspace(1, len(whole) - end, 40).astype(int))
    for cut in cuts:
        file.write_bytes(whole[:cut])
        message = refusal(tmp_path)
        assert f"cut.{suffix}: this" in message
        assert "damaged" in message or "no image" in message


@pytest.mark.parametrize("channels", [0, 2, 4, "RGB"])
def test_unknown_channels_are_refused(channels: Any) -> None:
    with pytest.raises(InputError, match=f"channels: {channels!r} given; must be 1"):
        ImageFolderDataset(path="x", split="train", channels=channels)


def sixteen_bit_png(path: Path, colour_type: int) -> Path:
    """Write what Pillow cannot: 16 bits a channel in colour (2) or in grey with alpha (4)."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    channels = {2: 3, 4: 2}[colour_type]
    rows = zlib.compress(b"".join(b"\0" + bytes(4 * channels * 2) for _ in range(4)))
    header = struct.pack(">IIBBBBB", 4, 4, 16, colour_type, 0, 0, 0)
    whole = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + whole)
    return path


@pytest.mark.parametrize("colour_type", [2, 4])
def test_sixteen_bits_in_colour_are_refused_not_cut(tmp_path: Path, colour_type: int) -> None:
    deep = sixteen_bit_png(fill(tmp_path, 4) / "dog" / "deep.png", colour_type)
    with Image.open(deep) as image:
        assert image.mode in ("RGB", "RGBA")  # (as Pillow has it)
    assert f"{deep}: 16 bits a channel" in refusal(tmp_path)


def test_one_part_without_the_other_is_refused(tmp_path: Path) -> None:
    fill(tmp_path / "train", 4)
    assert "one of train/ and test/ is missing" in refusal(tmp_path)
