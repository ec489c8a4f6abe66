from __future__ import annotations

import contextlib
import io
import pickle
import random
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kedro.io import DatasetError

from guided_dml.datasets import npz
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
        NpzImagesDataset(filepath=filepath, **options).load()
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
    read = NpzImagesDataset(filepath=filepath).load()
    assert np.array_equal(read.images, expected)
    assert read.images.dtype == np.uint8
    assert read.images.flags["C_CONTIGUOUS"]
    assert read.labels.dtype == np.int64
    assert read.names == [str(number) for number in range(20)]
    assert read.test is None
    assert read.facts["source"] == filepath
    assert read.facts["fingerprint"] == NpzImagesDataset(filepath=filepath).fingerprint()


@pytest.mark.parametrize(
    ("arrays", "labels", "classes"),
    [
        ({"labels": LABELS.astype(np.uint8)}, LABELS, ["0", "1"]),
        ({"labels": LABELS * 5 + 2}, LABELS, ["2", "7"]),
        ({"labels": np.array(["b", "a"])[LABELS]}, 1 - LABELS, ["a", "b"]),
        ({"labels": LABELS.astype(bool)}, LABELS, ["False", "True"]),
        (
            {"labels": np.array(["chat", "\xe9l\xe9phant"])[LABELS]},
            LABELS,
            ["chat", "\xe9l\xe9phant"],
        ),
        ({"labels": np.array([b"cat", "\xe9".encode()])[LABELS]}, LABELS, ["cat", "\xe9"]),
        ({"labels": LABELS, "classes": np.array([b"cat", b"dog"])}, LABELS, ["cat", "dog"]),
        ({"labels": LABELS, "classes": np.array(["cat", "dog"])}, LABELS, ["cat", "dog"]),
        ({"labels": LABELS, "classes": np.array(["x", "y", "z"])}, LABELS, ["x", "y", "z"]),
    ],
)
def test_labels(
    tmp_path: Path, arrays: dict[str, np.ndarray], labels: np.ndarray, classes: list[str]
) -> None:
    filepath = stored(tmp_path, images=GREY, **arrays)
    read = NpzImagesDataset(filepath=filepath).load()
    assert np.array_equal(read.labels, labels)
    assert read.classes == classes


def test_the_file_may_say_which_images_are_the_test_part(tmp_path: Path) -> None:
    held_out = np.arange(20) % 5 == 0
    filepath = stored(tmp_path, images=GREY, labels=LABELS, test=held_out)
    read = NpzImagesDataset(filepath=filepath).load()
    assert read.test is not None
    assert np.array_equal(read.test, held_out)


def test_another_file_has_another_fingerprint(tmp_path: Path) -> None:
    first = NpzImagesDataset(filepath=stored(tmp_path, images=GREY, labels=LABELS)).fingerprint()
    filepath = stored(tmp_path, images=GREY.repeat(10, 0), labels=LABELS.repeat(10))
    assert NpzImagesDataset(filepath=filepath).fingerprint() != first


def test_what_nobody_asked_for_is_not_read(tmp_path: Path) -> None:
    filepath = stored(
        tmp_path, images=GREY, labels=LABELS, notes=np.array([{}], object), huge=LABELS
    )
    whole = Path(filepath).read_bytes()
    place = whole.index(b"huge.npy") + len("huge.npy") + 128  # (behind the header of the array)
    Path(filepath).write_bytes(whole[:place] + b"\xff" * 8 + whole[place + 8 :])
    assert len(NpzImagesDataset(filepath=filepath).load().images) == 20
    with np.load(filepath, allow_pickle=True) as damaged, pytest.raises(zipfile.BadZipFile):
        _ = damaged["huge"]


def bomb(shape: str, dtype: str, size: int) -> bytes:
    """Return an array's file whose header claims what it does not hold: zeros."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00\x76\x00" + header.encode() + bytes(size)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("images", bomb("(1000000000000, 8, 8)", "|u1", 10), "its array 'images' claims"),
        ("images", bomb("(1000000000000, 8, 8)", "|u1", 2000000), "its array 'images' would take"),
        ("labels", bomb("(20,)", "<U1000000", 20 * 4000000), "its array 'labels' would take"),
        ("labels", bomb("(1000000000000,)", "|V0", 10), "its array 'labels'"),
        ("classes", bomb("(1000000000000,)", "<U0", 10), "its array 'classes'"),
        ("images", bomb("(1000000000000, 0, 8)", "|u1", 10), "N > 0 is needed"),
    ],
)
def test_a_bomb_is_not_inflated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes, words: str
) -> None:
    monkeypatch.setattr(npz, "MOST_BYTES", 10**6)
    filepath = tmp_path / "images.npz"
    arrays: dict[str, Any] = {"images": GREY, "labels": LABELS}
    arrays.pop(name, None)
    np.savez_compressed(filepath, **arrays)
    with zipfile.ZipFile(filepath, "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr(f"{name}.npy", content)
    tracemalloc.start()
    assert words in refusal(str(filepath))
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"labels": LABELS}, "no array named images; it holds labels"),
        ({"images": GREY}, "no array named labels; it holds images"),
        ({}, "no array named images or labels; it holds nothing"),
        ({"images": GREY, "labels": LABELS[:-1]}, "20 images, but labels of shape (19,)"),
        ({"images": GREY, "labels": np.array(1)}, "20 images, but labels of shape ()"),
        ({"a/images": GREY, "labels": LABELS}, "no array named images; it holds a/images, labels"),
        ({"images": GREY, "labels": LABELS[:, None]}, "labels of shape (20, 1)"),
        ({"images": GREY / 255, "labels": LABELS}, "images are float64, uint8 (0-255) is needed"),
        ({"images": GREY.astype(np.uint16), "labels": LABELS}, "images are uint16, uint8"),
        ({"images": GREY[:, 0], "labels": LABELS}, "images have shape (20, 5)"),
        ({"images": COLOUR[..., :2], "labels": LABELS}, "images have shape (20, 4, 5, 2)"),
        ({"images": GREY[:0], "labels": LABELS[:0]}, "N > 0 is needed"),
        ({"images": GREY, "labels": LABELS, "classes": np.array(["a"])}, "integers from 0 to 0"),
        ({"images": GREY, "labels": LABELS - 1, "classes": np.array(["a", "b"])}, "from 0 to 1"),
        ({"images": GREY, "labels": LABELS / 1}, "its labels are float64 (20,); a list of whole"),
        ({"images": GREY, "labels": np.where(LABELS, np.nan, 1)}, "its labels are float64"),
        ({"images": GREY, "labels": LABELS.astype("M8[D]")}, "its labels are datetime64[D]"),
        ({"images": GREY, "labels": LABELS * 1j}, "its labels are complex128"),
        ({"images": GREY, "labels": np.array([b"\xff", b"a"])[LABELS]}, "are bytes, but no UTF-8"),
        ({"images": GREY, "labels": LABELS, "classes": np.array([1.5, 2])}, "classes are float64"),
        (
            {"images": GREY, "labels": LABELS, "classes": np.array([["a"]])},
            "classes are <U1 (1, 1)",
        ),
        (
            {"images": GREY, "labels": LABELS, "classes": np.array("ab")},
            "its classes are <U2 ()",
        ),
        (
            {"images": GREY, "labels": LABELS, "classes": np.array([[b"a"], [b"b"]])},
            "classes are |S1 (2, 1)",
        ),
        ({"images": GREY, "labels": LABELS, "classes": np.array(b"ab")}, "its classes are |S2 ()"),
        ({"images": GREY, "labels": LABELS, "test": LABELS}, "'test' is int64 (20,); bool (20,)"),
        ({"images": GREY, "labels": LABELS, "test": LABELS[1:] > 0}, "'test' is bool (19,)"),
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


@pytest.mark.parametrize("name", ["images", "labels", "classes", "test"])
def test_an_object_array_is_refused_and_never_unpickled(tmp_path: Path, name: str) -> None:
    trace = tmp_path / "it ran"
    objects = np.array([_Touches(trace)], dtype=object)
    filepath = stored(tmp_path, **({"images": GREY, "labels": LABELS} | {name: objects}))
    assert f"its array {name!r} is damaged, or not of plain values" in refusal(filepath)
    assert not trace.exists()
    np.load(filepath, allow_pickle=True)[name]
    assert trace.exists()


def test_a_pickle_named_npz_is_refused_and_never_unpickled(tmp_path: Path) -> None:
    trace, file = tmp_path / "it ran", tmp_path / "images.npz"
    file.write_bytes(pickle.dumps(_Touches(trace)))
    assert "not a whole .npz file" in refusal(str(file))
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
            NpzImagesDataset(filepath=str(file)).load()
            read += 1  # (a byte that says nothing, such as the time of the file)
            continue
        assert str(file) in refusal(str(file))
    assert read < 40


def test_a_npy_file_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "images.npz").open("wb") as file:
        np.save(file, GREY)
    assert "not a whole .npz file" in refusal(file.name)
