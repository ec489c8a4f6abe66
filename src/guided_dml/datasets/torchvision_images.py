"""torchvision's image data sets behind one Kedro dataset."""

from __future__ import annotations

import contextlib
import inspect
import io
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision import datasets
from torchvision.datasets import mnist
from torchvision.datasets.utils import check_integrity, download_and_extract_archive

from guided_dml.datasets.cifar import read_cifar
from guided_dml.datasets.reading import ReadOnlyImages, fingerprint_of
from guided_dml.errors import InputError, failing_as, known, one_of
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
    """A torchvision data set, read from disk, or downloaded where it is missing."""

    def __init__(
        self,
        *,
        path: str,
        name: str,
        download: bool = True,
        verify: bool = True,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Choose a data set.

        Args:
            path: torchvision's root folder, holding e.g. ``MNIST/raw``.
            name: torchvision's name of the class, e.g. ``FashionMNIST``.
            download: Whether to download what is missing.
            verify: Whether a local copy must have the published checksums. Without, another
                copy is read, and the data report says so.
            metadata: Of :class:`ReadOnlyImages`.

        Raises:
            InputError: The name is unknown.
        """
        super().__init__(metadata=metadata)
        known("torchvision data set", [name], KNOWN)
        self.path, self.name = Path(path), name
        self.download, self.verify = download, verify

    def fingerprint(self) -> str:
        """Return a hash of the files; they are downloaded if need be."""
        return self._fingerprint(self._files())

    def load(self) -> LabelledImages:
        """Return both published parts; an image is named by its number in its part.

        Raises:
            InputError: The files are missing and cannot be downloaded, or are damaged.
        """
        files = self._files()
        sums = files.items()
        differing = [path.name for path, md5 in sums if not check_integrity(str(path), md5)]
        if differing and self.verify:
            raise InputError(
                f"{self.path}: not the published {self.name}: the checksums of "
                f"{', '.join(differing)} differ; delete these files to download them anew, or "
                "set verify: false in the catalog to read them all the same"
            )
        images, labels, classes, test = self._read(list(files))
        return LabelledImages(
            images,
            labels,
            classes,
            names=[str(i) for part in (~test, test) for i in range(part.sum())],
            test=test,
            facts={
                "source": f"torchvision {self.name}",
                "fingerprint": self._fingerprint(files),
                "checksums_differ": differing,
                "checksums_unknown": [path.name for path, md5 in sums if md5 is None],
            },
        )

    def _read(self, files: list[Path]) -> tuple[np.ndarray, np.ndarray, list[str], np.ndarray]:
        published = self._published
        if self.name.startswith("CIFAR"):
            return read_cifar(published, self.path / published.base_folder)
        for path in files:
            if "-ubyte" in path.name:
                _check_idx(path)
        with failing_as(f"{', '.join(map(str, files))}: damaged; delete to download anew"):
            parts = [_arrays(self._open(split, download=False)) for split in ("train", "test")]
            images, labels = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
            test = np.arange(len(images)) >= len(parts[0][0])
            classes = getattr(published, "classes", None) or map(str, range(labels.max() + 1))
        return images, labels, list(classes), test

    @property
    def _published(self) -> Any:
        return getattr(datasets, self.name)

    def _fingerprint(self, files: Iterable[Path]) -> str:
        return fingerprint_of({file.name: file for file in files}, name=self.name)

    def _files(self) -> dict[Path, str | None]:
        """Return the files, with their md5 where it is known; fetch them if one is missing."""
        files = self._listed()
        if not all(path.exists() for path in files):
            self._fetch(files)
        return files

    def _listed(self) -> dict[Path, str | None]:
        published = self._published
        if self.name.startswith("CIFAR"):
            folder = self.path / published.base_folder
            meta = (published.meta["filename"], published.meta["md5"])
            listed = [*published.train_list, *published.test_list, meta]
            return {folder / name: md5 for name, md5 in listed}
        if self.name in ("SVHN", "USPS"):
            listed = [published.split_list[split] for split in ("train", "test")]
            return {self.path / name: md5 for _, name, md5 in listed}
        folder, known = self.path / self.name / "raw", IDX_MD5.get(self.name, {})
        names = [Path(name).stem for name, _ in published.resources]
        return {folder / name: known.get(name) for name in names}

    def _fetch(self, files: Mapping[Path, str | None]) -> None:
        missing = f"{self.name} is not under {self.path}"
        if not self.download:
            raise InputError(
                f"{missing}; set download: true in the catalog, or put a copy there in "
                "torchvision's layout"
            )
        # (torchvision fetches all again)
        there = {path: md5 for path, md5 in files.items() if path.exists()}
        others = [path for path, md5 in there.items() if not check_integrity(str(path), md5)]
        if others:
            lacking = one_of(path.name for path in files if not path.exists())
            raise InputError(
                f"{self.name}: {lacking} is missing, and a download would replace what differs "
                f"from the published files: {', '.join(map(str, others))}; add what is missing, "
                "or move those away"
            )
        failed = (
            f"{missing} and the download failed; connect to the network, or put a copy there in "
            "torchvision's layout"
        )
        # (progress bars on terminals only)
        bars = contextlib.redirect_stderr(sys.stderr if sys.stderr.isatty() else io.StringIO())
        with failing_as(failed), bars:
            published = self._published
            if self.name.startswith("CIFAR"):
                # (its constructor would also unpickle what came)
                options = {"filename": published.filename, "md5": published.tgz_md5}
                download_and_extract_archive(published.url, str(self.path), **options)
            else:
                for split in ("train", "test"):
                    self._open(split, download=True)

    def _open(self, split: str, *, download: bool) -> Any:
        published = self._published
        by_flag = "train" in inspect.signature(published).parameters
        part = {"train": split == "train"} if by_flag else {"split": split}
        # Old torchvision left pickles beside the raw files; they are not what was verified.
        changes = {"_check_legacy_exist": lambda _: False}
        if not download:  # (what differs was reported already; torchvision would refuse it)
            changes["_check_integrity"] = lambda _: True
        return type(self.name, (published,), changes)(self.path, download=download, **part)


def _check_idx(path: Path) -> None:
    """Raise InputError if a file is not the bytes that its name and its header announce."""
    with failing_as(f"{path}: truncated, or no such IDX file; delete it to download it anew"):
        array = mnist.read_sn3_pascalvincent_tensor(str(path))
        if array.dtype != torch.uint8 or f"idx{array.ndim}-" not in path.name:
            raise ValueError(f"it holds {array.dtype} {list(array.shape)}")


def _arrays(opened: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return images uint8 [N, C, H, W] and labels int64 [N]."""
    images = np.asarray(opened.data)
    labels = np.asarray(getattr(opened, "targets", getattr(opened, "labels", None)), np.int64)
    return images[:, None] if images.ndim == 3 else images, labels
