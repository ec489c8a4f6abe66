"""CIFAR's own pickles, read without running what they may contain."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from guided_dml.datasets.reading import failing_as

#: Everything that a CIFAR batch refers to, under NumPy's old and new module names. None of it
#: can do more than build an array or a string.
_ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
    ("_codecs", "encode"),
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}, which is not allowed")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def read_batch(path: Path) -> dict[str, Any]:
    """Return the dictionary in one of CIFAR's files.

    Raises:
        InputError: The file is damaged, or would run code.
    """
    with failing_as(f"{path}: not a whole CIFAR file; delete it"), path.open("rb") as file:
        content = _ArraysOnly(file, encoding="latin1").load()
        if not isinstance(content, dict):
            raise pickle.UnpicklingError("it holds no dictionary")
        # (Python 2 wrote text, Python 3 may write bytes)
        return {k.decode() if isinstance(k, bytes) else k: v for k, v in content.items()}


def read_cifar(published: Any, root: Path, train: bool) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Read one part of CIFAR-10 or CIFAR-100.

    Args:
        published: torchvision's class, which knows the names of the files.
        root: The folder that holds torchvision's ``base_folder``.
        train: Which part.

    Returns:
        Images uint8 ``[N, 3, 32, 32]``, labels int64 ``[N]`` and the class names.
    """
    folder = root / published.base_folder
    names = [name for name, _ in (published.train_list if train else published.test_list)]
    pixels, labels = bytearray(), []  # (it grows in place: no second copy of all images)
    for name in names:
        batch = read_batch(folder / name)
        with failing_as(f"{folder / name}: no data with as many labels in it; delete it"):
            targets = batch["labels" if "labels" in batch else "fine_labels"]
            labels.append(np.array(targets, np.int64))
            pixels += batch["data"].reshape(len(targets), 3 * 32 * 32).data
    meta, key = folder / published.meta["filename"], published.meta["key"]
    with failing_as(f"{meta}: no class names in it; delete it"):
        classes = list(read_batch(meta)[key])
    images = np.frombuffer(pixels, np.uint8).reshape(-1, 3, 32, 32)
    return images, np.concatenate(labels), classes
