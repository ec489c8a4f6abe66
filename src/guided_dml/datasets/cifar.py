"""CIFAR's own pickles, read without running what they may contain."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from guided_dml.errors import InputError, failing_as

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
    """Return the dictionary in one of CIFAR's files; one that would run code is refused."""
    with failing_as(f"{path}: not a whole CIFAR file; delete it"), path.open("rb") as file:
        content = _ArraysOnly(file, encoding="latin1").load()
        if not isinstance(content, dict):
            raise pickle.UnpicklingError("it holds no dictionary")
        # (Python 2 wrote text, Python 3 may write bytes)
        return {k.decode() if isinstance(k, bytes) else k: v for k, v in content.items()}


def read_cifar(
    published: Any, folder: Path
) -> tuple[np.ndarray, np.ndarray, list[str], np.ndarray]:
    """Read CIFAR-10 or CIFAR-100.

    Args:
        published: torchvision's class, which knows the names of the files.
        folder: Where they are.

    Returns:
        Images uint8 ``[N, 3, 32, 32]``, labels int64 ``[N]``, the class names, and bool ``[N]``:
        the test part.

    Raises:
        InputError: A file is damaged, or laid out otherwise.
    """
    pixels, labels = bytearray(), []  # (it grows in place: no second copy of all images)
    parts = [False] * len(published.train_list) + [True] * len(published.test_list)
    for name, _ in (*published.train_list, *published.test_list):
        data, targets = _images_and_labels(folder / name)
        pixels += data.data
        labels.append(targets)
    meta, key = folder / published.meta["filename"], published.meta["key"]
    with failing_as(f"{meta}: no class names in it; delete it"):
        names = read_batch(meta)[key]
        classes = [name.decode() if isinstance(name, bytes) else name for name in names]
    images = np.frombuffer(pixels, np.uint8).reshape(-1, 3, 32, 32)
    return images, np.concatenate(labels), classes, np.repeat(parts, [len(some) for some in labels])


def _images_and_labels(path: Path) -> tuple[np.ndarray, np.ndarray]:
    batch = read_batch(path)
    data: Any = batch.get("data")
    targets = batch.get("labels", batch.get("fine_labels"))
    if not isinstance(targets, list) or not all(isinstance(label, int) for label in targets):
        raise InputError(f"{path}: no labels in it, a list of integers; delete it")
    is_array, wanted = isinstance(data, np.ndarray), f"uint8 {(len(targets), 3 * 32 * 32)}"
    found = f"{data.dtype} {data.shape}" if is_array else type(data).__name__
    # (an array larger than its file repeats, or invents, what it holds)
    if found != wanted or data.nbytes > path.stat().st_size:
        raise InputError(
            f"{path}: its data are {found}; {wanted} is needed, a row for each of its "
            "labels: 1024 red values row by row, then green, then blue; delete it"
        )
    with failing_as(f"{path}: a label is out of range; delete it"):
        return np.ascontiguousarray(data), np.array(targets, np.int64)
