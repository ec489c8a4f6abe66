from __future__ import annotations

import contextlib
import io
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kedro.io import DatasetError

from guided_dml.datasets.npz import NpzImagesDataset
from guided_dml.errors import InputError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (20, 4, 5), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (20, 4, 5, 3), dtype=np.uint8)
LABELS = np.tile([0, 1], 10)


def stored(path: Path, **arrays: Any) -> str:
    file = path / "images.npz"
    np.savez(file, **arrays)
    return str(file)


def refusal(filepath: str, **options: Any) -> str:
    with pytest.raises(DatasetError) as caught:
        NpzImagesDataset(filepath=filepath, split="train", **options).load()
    assert isinstance(caught.value.__cause__, InputError)
    assert filepath in str(caught.value.__cause__)
    return str(caught.value.__cause__)


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (GREY, GREY[:, None]),
        (GREY[..., None], GREY[:, None]),
        (COLOUR, COLOUR.transpose(0, 3, 1, 2)),
    ],
)
def test_shapes(tmp_path: Path, images: np.ndarray, expected: np.ndarray) -> None:
    filepath = stored(tmp_path, images=images, labels=LABELS)
    read = NpzImagesDataset(filepath=filepath, split="test", test_share=None).load()
    assert np.array_equal(read.images, expected)
    assert read.images.dtype == np.uint8
    assert read.images.flags["C_CONTIGUOUS"]
    assert read.labels.dtype == np.int64
    assert read.facts == {"source": filepath}


@pytest.mark.parametrize(
    ("arrays", "labels", "classes"),
    [
        ({"labels": LABELS.astype(np.uint8)}, LABELS, ["0", "1"]),
        ({"labels": LABELS * 5 + 2}, LABELS, ["2", "7"]),
        ({"labels": np.array(["b", "a"])[LABELS]}, 1 - LABELS, ["a", "b"]),
        ({"labels": LABELS, "classes": np.array(["cat", "dog"])}, LABELS, ["cat", "dog"]),
        ({"labels": LABELS, "classes": np.array(["x", "y", "z"])}, LABELS, ["x", "y", "z"]),
    ],
)
def test_labels(
    tmp_path: Path, arrays: dict[str, np.ndarray], labels: np.ndarray, classes: list[str]
) -> None:
    filepath = stored(tmp_path, images=GREY, **arrays)
    read = NpzImagesDataset(filepath=filepath, split="train", test_share=None).load()
    assert np.array_equal(read.labels, labels)
    assert read.classes == classes


def test_the_split_is_stratified_disjoint_and_fixed_by_the_seed(tmp_path: Path) -> None:
    filepath = stored(tmp_path, images=GREY, labels=LABELS)

    def part(split: Any, seed: int) -> list[bytes]:
        read = NpzImagesDataset(filepath=filepath, split=split, test_share=0.3, seed=seed).load()
        share = {"train": 7, "test": 3}[split]
        assert np.bincount(read.labels).tolist() == [share, share]
        return [image.tobytes() for image in read.images]

    assert sorted(part("train", 1) + part("test", 1)) == sorted(image.tobytes() for image in GREY)
    assert part("test", 1) == part("test", 1)
    assert part("test", 1) != part("test", 2)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"labels": LABELS}, "no array named images; it holds labels"),
        ({"images": GREY}, "no array named labels; it holds images"),
        ({}, "no array named images or labels; it holds nothing"),
        ({"images": GREY, "labels": LABELS[:-1]}, "20 images, but labels of shape (19,)"),
        ({"images": GREY, "labels": LABELS[:, None]}, "labels of shape (20, 1)"),
        ({"images": GREY / 255, "labels": LABELS}, "images are float64, uint8 (0-255) is needed"),
        ({"images": GREY.astype(np.uint16), "labels": LABELS}, "images are uint16, uint8"),
        ({"images": GREY[:, 0], "labels": LABELS}, "images have shape (20, 5)"),
        ({"images": COLOUR[..., :2], "labels": LABELS}, "images have shape (20, 4, 5, 2)"),
        ({"images": GREY[:0], "labels": LABELS[:0]}, "N > 0 is needed"),
        ({"images": GREY, "labels": LABELS, "classes": np.array(["a"])}, "integers from 0 to 0"),
        ({"images": GREY, "labels": LABELS - 1, "classes": np.array(["a", "b"])}, "from 0 to 1"),
        ({"images": GREY, "labels": LABELS / 2, "classes": np.array(["a", "b"])}, "from 0 to 1"),
    ],
)
def test_wrong_arrays_are_refused(tmp_path: Path, arrays: dict[str, Any], words: str) -> None:
    assert words in refusal(stored(tmp_path, **arrays))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "there is no such file" in refusal(str(tmp_path / "none.npz"))


class _Touches:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["images", "labels", "another"])
def test_an_object_array_is_refused_and_never_unpickled(tmp_path: Path, name: str) -> None:
    trace = tmp_path / "it ran"
    objects = np.array([_Touches(trace)], dtype=object)
    filepath = stored(tmp_path, **({"images": GREY, "labels": LABELS} | {name: objects}))
    assert "not a whole .npz file of plain arrays" in refusal(filepath)
    assert not trace.exists()
    np.load(filepath, allow_pickle=True)[name]
    assert trace.exists()


def test_a_pickle_named_npz_is_refused_and_never_unpickled(tmp_path: Path) -> None:
    trace, file = tmp_path / "it ran", tmp_path / "images.npz"
    file.write_bytes(pickle.dumps(_Touches(trace)))
    assert "not a whole .npz file of plain arrays" in refusal(str(file))
    assert not trace.exists()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_damaged_file_is_refused(tmp_path: Path, save: Callable[..., None]) -> None:
    file, buffer = tmp_path / "images.npz", io.BytesIO()
    save(buffer, images=GREY, labels=LABELS)
    whole = buffer.getvalue()
    for end in range(0, len(whole), 60):
        file.write_bytes(whole[:end])
        assert "not a whole .npz file" in refusal(str(file))
    chance, read = random.Random(0), 0
    for _ in range(150):
        place = chance.randrange(len(whole))
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with contextlib.suppress(DatasetError):
            NpzImagesDataset(filepath=str(file), split="train").load()
            read += 1  # (a byte that says nothing, such as the time of the file)
            continue
        assert str(file) in refusal(str(file))
    assert read < 40


def test_a_npy_file_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "images.npz").open("wb") as file:
        np.save(file, GREY)
    assert "not a whole .npz file" in refusal(file.name)


@pytest.mark.parametrize(
    ("labels", "share", "words"),
    [
        ([0, 0, 0, 0, 1], 0.2, "class '1' has 1 images"),
        ([0, 0, 1, 1], 0.2, "class '0' has 2 images"),
        ([0] * 98 + [1] * 2, 0.2, "class '1' has 2 images"),
        ([0] * 98 + [1] * 2, 0.9, "class '1' has 2 images"),
    ],
)
def test_a_class_too_small_for_both_parts_is_named(
    tmp_path: Path, labels: list[int], share: float, words: str
) -> None:
    filepath = stored(tmp_path, images=np.zeros((len(labels), 2, 2), np.uint8), labels=labels)
    message = refusal(filepath, test_share=share)
    assert words in message
    assert f"too few to be in both parts with test_share {share}" in message
