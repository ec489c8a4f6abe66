from __future__ import annotations

import builtins
import io
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torchvision.datasets import CIFAR10, CIFAR100

from guided_dml.datasets.cifar import read_batch, read_cifar
from guided_dml.errors import InputError

DATA = np.random.default_rng(0).integers(0, 256, (3, 3072), dtype=np.uint8)
BATCH: dict[str, Any] = {"data": DATA, "labels": [1, 0, 1], "batch_label": "a batch"}


PurePickler: Any = vars(pickle)["_Pickler"]


class _Python2(PurePickler):  # type: ignore[misc]
    """Writes every string as Python 2 wrote its `str`: bytes without an encoding."""

    def save_string(self, text: str | bytes) -> None:
        raw = text.encode("latin1") if isinstance(text, str) else text
        self.write(b"T" + struct.pack("<i", len(raw)) + raw)
        self.memoize(text)

    dispatch = PurePickler.dispatch | {str: save_string, bytes: save_string}


def python2(content: object) -> bytes:
    buffer = io.BytesIO()
    _Python2(buffer, 2).dump(content)
    old = buffer.getvalue().replace(b"numpy._core.", b"numpy.core.")
    return old.replace(b"\x89\x88\x87R", b"K\x00K\x01\x87R")  # (dtype's flags were integers)


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_batch(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def stored(path: Path, content: bytes) -> Path:
    file = path / "data_batch_1"
    file.write_bytes(content)
    return file


@pytest.mark.parametrize(
    "dumps",
    [
        python2,
        *[lambda content, p=p: pickle.dumps(content, p) for p in range(6)],
    ],
)
def test_pickles_of_every_protocol_are_read(
    tmp_path: Path, dumps: Callable[[object], bytes]
) -> None:
    content = read_batch(stored(tmp_path, dumps(BATCH)))
    assert np.array_equal(content["data"], DATA)
    assert content["data"].dtype == np.uint8
    assert content["labels"] == [1, 0, 1]
    assert content["batch_label"] == "a batch"


def test_keys_in_bytes_are_read_like_text(tmp_path: Path) -> None:
    content = {key.encode(): value for key, value in BATCH.items()}
    assert read_batch(stored(tmp_path, pickle.dumps(content, 2))).keys() == BATCH.keys()


class _Runs:
    def __init__(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call, self.arguments


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("place", ["data", "beside", "instead"])
@pytest.mark.parametrize(
    "make",
    [
        lambda trace: _Runs(os.system, f"touch '{trace}'"),
        lambda trace: _Runs(builtins.open, str(trace), "w"),
        lambda trace: _Runs(builtins.exec, f"open({str(trace)!r}, 'w').close()"),
        lambda trace: _Runs(np.save, str(trace), 0),
    ],
)
def test_a_pickle_that_would_run_code_is_refused_and_runs_nothing(
    tmp_path: Path, make: Callable[[Path], _Runs], place: str, protocol: int
) -> None:
    trace = tmp_path / "it ran.npy"
    bad = make(trace)
    content = {"data": BATCH | {"data": bad}, "beside": BATCH | {"x": bad}, "instead": bad}[place]
    pickled = pickle.dumps(content, protocol)
    assert "not allowed" in refusal(stored(tmp_path, pickled))
    assert not trace.exists()
    result = pickle.loads(pickled)  # (the test can fail: unguarded, it runs)
    for value in result.values() if isinstance(result, dict) else [result]:
        if isinstance(value, io.IOBase):
            value.close()
    assert trace.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("numpy", "ndarray.tofile"),
        ("numpy", "load"),
        ("numpy.core", "multiarray._reconstruct"),
        ("builtins", "getattr"),
        ("builtins", "eval"),
        ("_codecs", "lookup"),
        ("os", "system"),
    ],
)
def test_no_other_name_is_looked_up(tmp_path: Path, module: str, name: str) -> None:
    words = b"".join(b"\x8c" + bytes([len(word)]) + word.encode() for word in (module, name))
    file = stored(tmp_path, b"\x80\x04" + words + b"\x93.")
    assert f"refers to {module}.{name}, which is not allowed" in refusal(file)


def test_a_truncated_pickle_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    whole = python2(BATCH)
    for end in [*range(0, len(whole), 97), len(whole) - 1]:
        assert "not a whole CIFAR file" in refusal(stored(tmp_path, whole[:end]))


@pytest.mark.parametrize(
    "content",
    [pickle.dumps([1]), b"plain text", pickle.dumps(BATCH, 2).replace(b"latin1", b"latinX")],
)
def test_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    assert "not a whole CIFAR file" in refusal(stored(tmp_path, content))


def folder(root: Path, published: Any, **changes: Any) -> Path:
    place = root / published.base_folder
    place.mkdir()
    targets = "labels" if published is CIFAR10 else "fine_labels"
    for number, (name, _) in enumerate([*published.train_list, *published.test_list]):
        content = {"data": DATA + np.uint8(number), targets: [number, 0, 1]}
        (place / name).write_bytes(python2(changes.get(name, content)))
    meta = changes.get("meta", {published.meta["key"]: ["a", "b"]})
    (place / published.meta["filename"]).write_bytes(python2(meta))
    return root


@pytest.mark.parametrize(("published", "batches"), [(CIFAR10, 5), (CIFAR100, 1)])
def test_both_parts_are_read_in_order(tmp_path: Path, published: Any, batches: int) -> None:
    place = folder(tmp_path, published) / published.base_folder
    images, labels, classes, test = read_cifar(published, place)
    pixels = DATA.reshape(-1, 3, 32, 32)
    parts = [pixels + np.uint8(number) for number in range(batches + 1)]
    assert np.array_equal(images, np.concatenate(parts))
    assert labels.tolist() == [label for n in range(batches + 1) for label in (n, 0, 1)]
    assert labels.dtype == np.int64
    assert classes == ["a", "b"]
    assert test.tolist() == [False] * 3 * batches + [True] * 3


def test_rows_in_columns_are_read_as_what_they_are(tmp_path: Path) -> None:
    batch = {"data": np.asfortranarray(DATA), "labels": [0, 1, 0]}
    place = folder(tmp_path, CIFAR10, data_batch_1=batch) / CIFAR10.base_folder
    assert np.array_equal(read_cifar(CIFAR10, place)[0][:3], DATA.reshape(-1, 3, 32, 32))


PICTURES = DATA.reshape(3, 3, 32, 32)


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        ({"labels": [0, 1, 0]}, "its data are NoneType"),
        ({"data": DATA}, "no labels in it"),
        ({"data": DATA, "labels": [0, 1]}, "its data are uint8 (3, 3072); uint8 (2, 3072)"),
        ({"data": DATA[:, :3000], "labels": [0, 1, 0]}, "its data are uint8 (3, 3000)"),
        ({"data": PICTURES.transpose(0, 2, 3, 1), "labels": [0, 1, 0]}, "uint8 (3, 32, 32, 3)"),
        ({"data": PICTURES, "labels": [0, 1, 0]}, "its data are uint8 (3, 3, 32, 32)"),
        ({"data": DATA.T, "labels": [0, 1, 0]}, "its data are uint8 (3072, 3)"),
        ({"data": DATA / 255, "labels": [0, 1, 0]}, "its data are float64 (3, 3072)"),
        ({"data": DATA.astype(np.int8), "labels": [0, 1, 0]}, "its data are int8 (3, 3072)"),
        ({"data": DATA.tolist(), "labels": [0, 1, 0]}, "its data are list"),
        ({"data": "pixels", "labels": [0, 1, 0]}, "its data are str"),
        ({"data": DATA, "labels": ["cat", "dog", "cat"]}, "no labels in it, a list of integers"),
        ({"data": DATA, "labels": [0, 1.7, 0]}, "no labels in it, a list of integers"),
        ({"data": DATA, "labels": [0, 2**70, 0]}, "a label is out of range"),
        ({"data": DATA, "labels": 3}, "no labels in it, a list of integers"),
    ],
)
def test_a_batch_of_another_layout_is_refused(tmp_path: Path, batch: Any, words: str) -> None:
    place = folder(tmp_path, CIFAR10, data_batch_3=batch) / CIFAR10.base_folder
    with pytest.raises(InputError) as caught:
        read_cifar(CIFAR10, place)
    assert f"{place / 'data_batch_3'}: " in str(caught.value)
    assert words in str(caught.value)


def test_an_array_larger_than_its_file_is_refused(tmp_path: Path) -> None:
    """A pickle may ask for an array over and over the same few bytes."""

    class Repeated:
        def __reduce__(self) -> tuple[Any, ...]:
            return np.ndarray, ((3, 3072), np.dtype(np.uint8), bytes(3072), 0, (0, 1))

    place = folder(tmp_path, CIFAR10) / CIFAR10.base_folder
    content = pickle.dumps({"data": Repeated(), "labels": [0, 1, 0]}, 2)
    (place / "data_batch_2").write_bytes(content)
    with pytest.raises(InputError, match=r"data_batch_2: its data are uint8 \(3, 3072\)"):
        read_cifar(CIFAR10, place)


def test_missing_class_names_are_named(tmp_path: Path) -> None:
    place = folder(tmp_path, CIFAR10, meta={"other": 1}) / CIFAR10.base_folder
    with pytest.raises(InputError, match=r"batches\.meta: no class names in it"):
        read_cifar(CIFAR10, place)
