"""torchvision's image data sets behind one Kedro dataset."""

from __future__ import annotations

import contextlib
import inspect
import io
import math
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from guided_dml.datasets.cifar import read_cifar
from guided_dml.datasets.reading import ReadOnlyImages, Split, check_split, failing_as
from guided_dml.errors import InputError, one_of
from guided_dml.types import LabelledImages

#: torchvision's data sets whose images are one uint8 array.
KNOWN = ("CIFAR10", "CIFAR100", "FashionMNIST", "KMNIST", "MNIST", "SVHN", "USPS")

#: md5 of the unpacked files; torchvision knows those of the packed ones only.
IDX_MD5: dict[str, dict[str, str]] = {
    "MNIST": {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    "FashionMNIST": {
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
}


class TorchvisionDataset(ReadOnlyImages):
    """One part of a torchvision data set, read from disk, or downloaded where it is missing."""

    def __init__(
        self,
        *,
        root: str,
        name: str,
        split: Split,
        download: bool = True,
        verify: bool = True,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Choose a data set.

        Args:
            root: torchvision's root folder, holding e.g. ``MNIST/raw``.
            name: torchvision's name of the class, e.g. ``FashionMNIST``.
            split: ``train`` or ``test``.
            download: Whether to download what is missing.
            verify: Whether a local copy must have the published checksums. Without, another
                copy is read, and the data report says so.
            metadata: Ignored by Kedro; kedro-viz reads its layer there.

        Raises:
            InputError: The name is unknown.
        """
        check_split(split)
        self.metadata = metadata
        if name not in KNOWN:
            raise InputError(f"unknown torchvision data set {name!r}; known: {one_of(KNOWN)}")
        self.root, self.name = Path(root), name
        self.split: Split = split
        self.download, self.verify = download, verify

    def load(self) -> LabelledImages:
        """Return the part.

        Raises:
            InputError: The files are missing and cannot be downloaded, or are damaged.
        """
        from torchvision import datasets

        published = getattr(datasets, self.name)
        files = self._files(published)
        if not all(path.exists() for path in files):
            self._fetch(published)
        differing = _differing(files)
        if differing and self.verify:
            raise InputError(
                f"{self.root}: not the published {self.name}: the checksums of "
                f"{', '.join(differing)} differ; delete these files to download them anew, or "
                "set verify: false in the catalog to read them all the same"
            )
        unknown = [path.name for path, md5 in files.items() if md5 is None]
        facts: dict[str, Any] = {"source": f"torchvision {self.name}"}
        facts |= {"checksums_differ": differing, "checksums_unknown": unknown}
        if self.name.startswith("CIFAR"):
            return LabelledImages(*read_cifar(published, self.root, self.split == "train"), facts)
        for path in files:
            _check_idx(path)
        with failing_as(f"{', '.join(map(str, files))}: damaged; delete to download anew"):
            return LabelledImages(*_arrays(self._open(published, download=False)), facts)

    def _files(self, published: Any) -> dict[Path, str | None]:
        """Return the files that must be there, with their md5 where it is known."""
        if self.name.startswith("CIFAR"):
            folder = self.root / published.base_folder
            meta = (published.meta["filename"], published.meta["md5"])
            listed = [*published.train_list, *published.test_list, meta]
            return {folder / name: md5 for name, md5 in listed}
        if self.name in ("SVHN", "USPS"):
            _, name, md5 = published.split_list[self.split]
            return {self.root / name: md5}
        folder, known = self.root / self.name / "raw", IDX_MD5.get(self.name, {})
        names = [Path(name).stem for name, _ in published.resources]
        return {folder / name: known.get(name) for name in names}

    def _fetch(self, published: Any) -> None:
        from torchvision.datasets.utils import download_and_extract_archive

        missing = f"{self.name} is not under {self.root}"
        if not self.download:
            raise InputError(
                f"{missing}; set download: true in the catalog, or put a copy there in "
                "torchvision's layout"
            )
        failed = (
            f"{missing} and the download failed; connect to the network, or put a copy there in "
            "torchvision's layout"
        )
        with failing_as(failed), _bars_on_terminals_only():
            if self.name.startswith("CIFAR"):
                # (its constructor would also unpickle what came)
                download_and_extract_archive(
                    published.url,
                    str(self.root),
                    filename=published.filename,
                    md5=published.tgz_md5,
                )
            else:
                self._open(published, download=True)

    def _open(self, published: Any, *, download: bool) -> Any:
        train = self.split == "train"
        by_flag = "train" in inspect.signature(published).parameters
        part = {"train": train} if by_flag else {"split": self.split}
        # Old torchvision left pickles beside the raw files; they are not what was verified.
        changes = {"_check_legacy_exist": lambda _: False}
        if not download:  # (what differs was reported already; torchvision would refuse it)
            changes["_check_integrity"] = lambda _: True
        return type(self.name, (published,), changes)(self.root, download=download, **part)


def _differing(files: dict[Path, str | None]) -> list[str]:
    from torchvision.datasets.utils import check_integrity

    return [path.name for path, md5 in files.items() if not check_integrity(str(path), md5)]


def _check_idx(path: Path) -> None:
    """Raise InputError if a file is not the bytes that its name and its header announce."""
    if "-ubyte" not in path.name:
        return
    with path.open("rb") as file:
        start = file.read(4)
        sides = file.read(4 * start[3]) if len(start) == 4 else b""
    whole = len(start) == 4 and len(sides) == 4 * start[3]
    if whole and start[:3] == b"\0\0\x08" and f"idx{start[3]}-" in path.name:
        expected = 4 + len(sides) + math.prod(struct.unpack(f">{start[3]}I", sides))
        if path.stat().st_size == expected:
            return
    raise InputError(f"{path}: truncated, or no such IDX file; delete it to download it anew")


def _arrays(opened: Any) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return images uint8 [N, C, H, W], labels int64 [N] and class names."""
    images = np.asarray(opened.data)
    labels = np.asarray(getattr(opened, "targets", getattr(opened, "labels", None)), np.int64)
    if images.ndim == 3:
        images = images[:, None]
    classes = getattr(opened, "classes", None) or [str(i) for i in range(int(labels.max()) + 1)]
    return images, labels, list(classes)


@contextlib.contextmanager
def _bars_on_terminals_only() -> Iterator[None]:
    if sys.stderr.isatty():
        yield
    else:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
