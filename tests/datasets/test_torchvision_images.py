from __future__ import annotations

import bz2
import hashlib
import pickle
import struct
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from kedro.io import DatasetError
from torchvision import datasets

from guided_dml.datasets import torchvision_images
from guided_dml.datasets.torchvision_images import KNOWN, TorchvisionDataset
from guided_dml.errors import InputError

matlab = pytest.importorskip("scipy.io")

RNG = np.random.default_rng(0)
IDX = ("MNIST", "FashionMNIST", "KMNIST")
SPLITS = {"train": 6, "test": 4}
PIXELS = {name: RNG.integers(0, 256, (n, 28, 28), np.uint8) for name, n in SPLITS.items()}
COLOUR = {name: RNG.integers(0, 256, (n, 3, 32, 32), np.uint8) for name, n in SPLITS.items()}


def write_idx(file: Path, array: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    file.write_bytes(header + array.astype(np.uint8).tobytes())


def write_mnist(root: Path, name: str) -> list[Path]:
    raw = root / name / "raw"
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images = PIXELS[split]
        write_idx(raw / f"{prefix}-images-idx3-ubyte", images)
        write_idx(raw / f"{prefix}-labels-idx1-ubyte", np.arange(len(images)) % 3)
    return sorted(raw.iterdir())


def write_cifar(root: Path, name: str) -> list[Path]:
    published = getattr(datasets, name)
    place = root / published.base_folder
    place.mkdir(parents=True)
    for split, listed in (("train", published.train_list), ("test", published.test_list)):
        pixels = COLOUR[split].reshape(-1, 3072)
        for rows, (file, _) in zip(np.array_split(pixels, len(listed)), listed, strict=True):
            content = {"data": rows.copy(), "labels": [7] * len(rows)}
            (place / file).write_bytes(pickle.dumps(content, 2))
    meta = {published.meta["key"]: [f"class {i}" for i in range(10)]}
    (place / published.meta["filename"]).write_bytes(pickle.dumps(meta, 2))
    return sorted(place.iterdir())


def write_svhn(root: Path, name: str) -> list[Path]:  # noqa: ARG001
    for split, images in COLOUR.items():
        labels = np.array([1, 10, 2, 10, 3, 1], np.uint8)[: len(images), None]
        content = {"X": images.transpose(2, 3, 1, 0), "y": labels}
        matlab.savemat(root / f"{split}_32x32.mat", content)
    return sorted(root.glob("*.mat"))


def write_usps(root: Path, name: str) -> list[Path]:  # noqa: ARG001
    for split, file in (("train", "usps.bz2"), ("test", "usps.t.bz2")):
        rows = (PIXELS[split][:, :16, :16].reshape(-1, 256) + 0.5) / 255 * 2 - 1
        lines = [
            f"{label + 1} " + " ".join(f"{i + 1}:{value:.6f}" for i, value in enumerate(row))
            for label, row in enumerate(rows)
        ]
        (root / file).write_bytes(bz2.compress("\n".join(lines).encode()))
    return sorted(root.glob("*.bz2"))


WRITERS: dict[str, Callable[[Path, str], list[Path]]] = {
    **dict.fromkeys(IDX, write_mnist),
    "CIFAR10": write_cifar,
    "CIFAR100": write_cifar,
    "SVHN": write_svhn,
    "USPS": write_usps,
}


def dataset(root: Path, name: str, **options: Any) -> TorchvisionDataset:
    options = {"download": False, "verify": False} | options
    return TorchvisionDataset(path=str(root), name=name, **options)


def refusal(root: Path, name: str, **options: Any) -> str:
    with pytest.raises(DatasetError) as caught:
        dataset(root, name, **options).load()
    assert isinstance(caught.value.__cause__, InputError)
    return str(caught.value.__cause__)


def test_every_known_name_is_tested() -> None:
    assert set(WRITERS) == set(KNOWN)


@pytest.mark.parametrize(
    ("name", "images", "labels"),
    [
        *[(name, PIXELS, [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]) for name in IDX],
        ("CIFAR10", COLOUR, [7] * 10),
        ("CIFAR100", COLOUR, [7] * 10),
        ("SVHN", COLOUR, [1, 0, 2, 0, 3, 1, 1, 0, 2, 0]),
        (
            "USPS",
            {part: some[:, :16, :16] for part, some in PIXELS.items()},
            [0, 1, 2, 3, 4, 5, 0, 1, 2, 3],
        ),
    ],
)
def test_a_local_copy_is_read(
    tmp_path: Path, name: str, images: dict[str, np.ndarray], labels: list[int]
) -> None:
    files = WRITERS[name](tmp_path, name)
    read = dataset(tmp_path, name).load()
    expected = np.concatenate([images["train"], images["test"]])
    assert np.array_equal(read.images, expected if expected.ndim == 4 else expected[:, None])
    assert read.images.dtype == np.uint8
    assert read.labels.tolist() == labels
    assert read.labels.dtype == np.int64
    assert read.test is not None
    assert read.test.tolist() == [False] * 6 + [True] * 4
    assert read.names == ["0", "1", "2", "3", "4", "5", "0", "1", "2", "3"]
    assert len(read.classes) > read.labels.max()
    assert read.facts["source"] == f"torchvision {name}"
    differing = set() if name == "KMNIST" else {file.name for file in files}  # (none is known)
    assert set(read.facts["checksums_differ"]) == differing
    assert read.facts["fingerprint"] == dataset(tmp_path, name).fingerprint()


def test_the_fingerprint_is_of_the_files(tmp_path: Path) -> None:
    (*_, last) = write_mnist(tmp_path / "a", "MNIST")
    write_mnist(tmp_path / "b", "MNIST")
    assert (
        dataset(tmp_path / "a", "MNIST").fingerprint()
        == dataset(tmp_path / "b", "MNIST").fingerprint()
    )
    last.write_bytes(last.read_bytes()[:-1] + b"\x09")
    assert (
        dataset(tmp_path / "a", "MNIST").fingerprint()
        != dataset(tmp_path / "b", "MNIST").fingerprint()
    )


def test_class_names(tmp_path: Path) -> None:
    for name, last in (
        ("MNIST", "9 - nine"),
        ("FashionMNIST", "Ankle boot"),
        ("CIFAR10", "class 9"),
        ("SVHN", "3"),
    ):
        WRITERS[name](tmp_path, name)
        assert dataset(tmp_path, name).load().classes[-1] == last


@pytest.mark.parametrize("name", [name for name in KNOWN if name != "KMNIST"])
def test_another_copy_than_the_published_is_refused(tmp_path: Path, name: str) -> None:
    files = WRITERS[name](tmp_path, name)
    message = refusal(tmp_path, name, verify=True)
    assert f"not the published {name}" in message
    assert "set verify: false" in message
    assert any(file.name in message for file in files)
    if name in ("MNIST", "FashionMNIST", "CIFAR10", "CIFAR100"):
        assert all(file.name in message for file in files)


def test_a_copy_with_the_published_checksums_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = write_mnist(tmp_path, "MNIST")
    sums = {file.name: hashlib.md5(file.read_bytes()).hexdigest() for file in files}
    monkeypatch.setitem(torchvision_images.IDX_MD5, "MNIST", sums)
    read = dataset(tmp_path, "MNIST", verify=True).load()
    assert read.facts["checksums_differ"] == []
    (labels,) = (file for file in files if file.name == "t10k-labels-idx1-ubyte")
    labels.write_bytes(labels.read_bytes()[:-1] + b"\x09")
    message = refusal(tmp_path, "MNIST", verify=True)
    assert "checksums of t10k-labels-idx1-ubyte differ" in message


@pytest.mark.parametrize("name", IDX)
@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[:0],
        lambda whole: whole[:3],
        lambda whole: whole[:10],
        lambda whole: whole[:-1],
        lambda whole: whole + b"\0",
        lambda whole: b"\x1f\x8b" + whole[2:],
        lambda whole: whole[:2] + b"\x0a" + whole[3:],
        lambda whole: whole[:3] + b"\xff" + whole[4:],
    ],
)
@pytest.mark.parametrize("kind", ["images-idx3", "labels-idx1"])
def test_a_damaged_idx_file_is_named(
    tmp_path: Path, name: str, kind: str, damage: Callable[[bytes], bytes]
) -> None:
    write_mnist(tmp_path, name)
    file = tmp_path / name / "raw" / f"train-{kind}-ubyte"
    file.write_bytes(damage(file.read_bytes()))
    assert f"{file}: truncated, or no such IDX file" in refusal(tmp_path, name)


def test_images_in_the_place_of_labels_are_named(tmp_path: Path) -> None:
    write_mnist(tmp_path, "MNIST")
    raw = tmp_path / "MNIST" / "raw"
    file = raw / "train-labels-idx1-ubyte"
    file.write_bytes((raw / "train-images-idx3-ubyte").read_bytes())
    assert f"{file}: truncated, or no such IDX file" in refusal(tmp_path, "MNIST")


@pytest.mark.parametrize("name", ["CIFAR10", "SVHN", "USPS"])
def test_a_truncated_file_is_named(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path, name)
    first = {"CIFAR10": "data_batch_1", "SVHN": "train_32x32.mat", "USPS": "usps.bz2"}[name]
    (file,) = tmp_path.rglob(first)
    whole = file.read_bytes()
    for end in [0, 3, 50, 127, 130, len(whole) // 2, len(whole) - 4]:
        file.write_bytes(whole[:end])
        assert str(file) in refusal(tmp_path, name)


def test_a_mat_file_without_labels_is_named(tmp_path: Path) -> None:
    write_svhn(tmp_path, "SVHN")
    matlab.savemat(tmp_path / "train_32x32.mat", {"X": COLOUR["train"].transpose(2, 3, 1, 0)})
    message = refusal(tmp_path, "SVHN")
    assert "train_32x32.mat" in message
    assert "damaged; delete" in message


@pytest.mark.parametrize("verify", [True, False])
def test_a_cifar_pickle_that_would_run_code_runs_nothing(tmp_path: Path, verify: bool) -> None:
    trace = tmp_path / "it ran"
    write_cifar(tmp_path, "CIFAR10")
    file = tmp_path / "cifar-10-batches-py" / "data_batch_1"
    file.write_bytes(b"cposix\nmkdir\n(V" + str(trace).encode() + b"\ntR.")
    message = refusal(tmp_path, "CIFAR10", verify=verify)
    assert ("data_batch_1, " if verify else "posix.mkdir, which is not allowed") in message
    assert not trace.exists()
    pickle.loads(file.read_bytes())
    assert trace.exists()


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(InputError, match="unknown torchvision data set 'mnist'; known: CIFAR10, "):
        TorchvisionDataset(path="x", name="mnist")


@pytest.mark.parametrize("name", KNOWN)
def test_missing_files_are_refused_without_download(tmp_path: Path, name: str) -> None:
    message = refusal(tmp_path, name)
    assert f"{name} is not under {tmp_path}" in message
    assert "set download: true" in message
    assert not list(tmp_path.iterdir())


def test_one_missing_file_is_enough_to_refuse(tmp_path: Path) -> None:
    for file in write_mnist(tmp_path, "MNIST"):
        content = file.read_bytes()
        file.unlink()
        assert "MNIST is not under" in refusal(tmp_path, "MNIST")
        file.write_bytes(content)
    assert len(dataset(tmp_path, "MNIST").load().images) == 10


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (URLError("no route to host"), "no route to host"),
        (TimeoutError(), "TimeoutError"),
        (ConnectionResetError("reset by peer"), "reset by peer"),
    ],
)
def test_a_failed_download_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: Exception, reason: str
) -> None:
    def offline(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(urllib.request, "urlopen", offline)
    message = refusal(tmp_path, name, download=True)
    assert f"{name} is not under {tmp_path} and the download failed" in message
    assert "connect to the network, or put a copy there" in message
    assert reason in message


def test_a_download_never_replaces_what_was_changed(tmp_path: Path) -> None:
    first, *others = write_mnist(tmp_path, "MNIST")
    first.unlink()
    before = [file.read_bytes() for file in others]
    message = refusal(tmp_path, "MNIST", download=True)
    assert f"{first.name} is missing" in message
    assert str(others[0]) in message
    assert [file.read_bytes() for file in others] == before


def test_old_pickles_beside_the_raw_files_are_not_read(tmp_path: Path) -> None:
    WRITERS["MNIST"](tmp_path, "MNIST")
    processed = tmp_path / "MNIST" / "processed"
    processed.mkdir()
    for part in ("training.pt", "test.pt"):
        torch.save((torch.zeros(1, 28, 28), torch.zeros(1)), processed / part)
    assert len(dataset(tmp_path, "MNIST").load().images) == 10
