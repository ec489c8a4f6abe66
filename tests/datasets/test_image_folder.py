from __future__ import annotations

import os
import shutil
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
from image_files import draw, write_png


def pixels(file: Path) -> np.ndarray:
    return np.asarray(Image.open(file))


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
    changed = {change: where.any() for change, where in read.changed.items()}
    assert changed == dict.fromkeys(("turned", "composited", "resized"), False)


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


def film(path: Path) -> None:
    frames = [Image.new("RGB", (6, 5), colour) for colour in ("red", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:])


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"
GREY_OF_16_BITS = Image.fromarray(np.full((5, 6), 40000, np.uint16))
FLOATS = Image.fromarray(np.full((5, 6), 0.5, np.float32))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda root: (root / "eel").mkdir(), "'eel' (a class without images)"),
        (lambda root: draw(root / "eel/.0.png"), "'eel' (a class without images)"),
        (
            lambda root: (root / "cat/text.png").write_text("this is no image"),
            "text.png: this is no image (PNG, JPEG, WebP); remove it",
        ),
        (
            lambda root: (root / "cat/empty.jpg").touch(),
            "empty.jpg: this is no image but an empty file",
        ),
        (
            lambda root: (root / "cat/0.png").write_bytes(POSTSCRIPT),
            "cat/0.png: this is no image",
        ),
        (
            lambda root: draw(root / "cat/0.gif"),
            "'cat/0.gif' (not an image); remove or move them",
        ),
        (lambda root: draw(root / "cat/more/0.png"), "'cat/more' (a folder)"),
        (lambda root: (root / "dog/folder.png").mkdir(), "'dog/folder.png' (a folder)"),
        (lambda root: (root / "eel").symlink_to(root / "gone"), "'eel' (a broken link)"),
        (
            lambda root: (root / "cat/loop.png").symlink_to(root / "cat/loop.png"),
            "'cat/loop.png' (a broken link)",
        ),
        (lambda root: (root / "cat/loop").symlink_to(root), "'cat/loop' (a folder)"),
        (lambda root: os.mkfifo(root / "cat/pipe.png"), "'cat/pipe.png' (no regular file)"),
        (lambda root: draw(root / "0.png"), "no images of a class: '0.png' (an image)"),
        (lambda root: film(root / "cat/film.webp"), "film.webp: an animated image"),
        (lambda root: film(root / "cat/film.png"), "film.png: an animated image"),
        (
            lambda root: GREY_OF_16_BITS.save(root / "cat/deep.png"),
            "deep.png: 16 bits a channel or floats (I;16)",
        ),
        (
            lambda root: FLOATS.save(root / "cat/float.png", format="TIFF"),
            "float.png: this is no image",
        ),
        (
            lambda root: write_png(root / "cat/huge.png", 1, 0, b"", size=60_000),
            "huge.png: this image is too large; at most 89478485 pixels are read",
        ),
    ],
)
def test_bad_folders_are_refused(
    tmp_path: Path, spoil: Callable[[Path], object], words: str
) -> None:
    spoil(fill(tmp_path))
    message = refusal(tmp_path)
    assert words in message
    assert str(tmp_path) in message


def test_what_has_no_class_folders_is_refused(tmp_path: Path) -> None:
    draw(tmp_path / "file.png")
    (tmp_path / "empty").mkdir()
    draw(tmp_path / "hidden" / ".cat" / "0.png")
    for name, words in {
        "none": "there is no such folder",
        "file.png": "there is no such folder",
        "empty": "no class folders in it; FOLDER/CLASS/IMAGE is needed",
        "hidden": "no class folders in it",
    }.items():
        assert f"{tmp_path / name}: {words}" in refusal(tmp_path / name)


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


def test_one_part_without_the_other_and_a_third_are_refused(tmp_path: Path) -> None:
    fill(tmp_path / "train", 4)
    assert "one of train/ and test/ is missing" in refusal(tmp_path)
    for part in ("test", "val"):
        fill(tmp_path / part, 2)
    assert "'val' (a folder)" in refusal(tmp_path)
