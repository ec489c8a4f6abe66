"""Labelled images in one NumPy ``.npz`` file."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from guided_dml.datasets.reading import ReadOnlyImages, fingerprint_of
from guided_dml.errors import InputError, failing_as
from guided_dml.types import LabelledImages

#: An array may be so many times as large as its file, or so many bytes: more is a zip bomb.
MOST_TIMES, MOST_BYTES = 100, 2**30

#: NumPy's kinds of integers, of text, and of text in bytes (UTF-8).
INTEGERS, TEXT, BYTES = "biu", "U", "S"


class NpzImagesDataset(ReadOnlyImages):
    """``images`` uint8 ``[N, H, W]`` or ``[N, H, W, C]`` and ``labels`` ``[N]``, integer or text.

    An integer label may index an array ``classes`` of names in the same file, and an array
    ``test`` of ``[N]`` truth values may say which images are the test part. Nothing else in the
    file is read.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Choose a ``.npz`` file."""
        super().__init__(metadata=metadata)
        self.filepath = Path(filepath)

    def fingerprint(self) -> str:
        """Return a hash of the file."""
        return fingerprint_of({"": self.filepath})

    def load(self) -> LabelledImages:
        """Return the images, each named by its number; nothing in the file is unpickled.

        Raises:
            InputError: Names the file, the array and what is wrong with it.
        """
        arrays = self._arrays()
        images = self._images(arrays["images"])
        labels, classes = self._labels(arrays["labels"], arrays.get("classes"), len(images))
        test = arrays.get("test")
        if test is not None and (test.dtype != bool or test.shape != labels.shape):
            raise self._refused(
                f"its array 'test' is {test.dtype} {test.shape}; bool ({len(images)},) is needed, "
                "true for an image of the test part"
            )
        return LabelledImages(
            images,
            labels,
            classes,
            names=[str(number) for number in range(len(images))],
            test=test,
            facts={"source": str(self.filepath), "fingerprint": self.fingerprint()},
        )

    def _refused(self, reason: str) -> InputError:
        return InputError(f"{self.filepath}: {reason}")

    def _arrays(self) -> dict[str, np.ndarray]:
        if not self.filepath.is_file():
            raise self._refused("there is no such file")
        with (
            failing_as(f"{self.filepath}: not a whole .npz file"),
            zipfile.ZipFile(self.filepath) as stored,
        ):
            members = (name for name in stored.namelist() if name.endswith(".npy"))
            held = {name.removesuffix(".npy") for name in members}
            missing = {"images", "labels"} - held
            if missing:
                raise self._refused(
                    f"no array named {' or '.join(sorted(missing))}; "
                    f"it holds {', '.join(sorted(held)) or 'nothing'}"
                )
            wanted = sorted({"images", "labels", "classes", "test"} & held)
            return {name: self._array(stored, name) for name in wanted}

    def _array(self, stored: zipfile.ZipFile, name: str) -> np.ndarray:
        with failing_as(f"{self.filepath}: its array {name!r} is damaged, or not of plain values"):
            member, whole = stored.getinfo(f"{name}.npy"), self.filepath.stat().st_size
            size, most = member.file_size, max(MOST_BYTES, MOST_TIMES * whole)
            if size > most:
                raise self._refused(
                    f"its array {name!r} would take {size} bytes from a file of {whole}; at most "
                    f"{most} are read ({MOST_TIMES} times the file, or 1 GiB); store it "
                    "uncompressed (numpy.savez)"
                )
            with stored.open(member) as file:
                first = npy.read_magic(file) == (1, 0)
                header = npy.read_array_header_1_0 if first else npy.read_array_header_2_0
                shape, _, dtype = header(file)
                # (elements of no bytes could be there any number of times)
                if math.prod(shape) * max(1, dtype.itemsize) > size and not dtype.hasobject:
                    claimed = f"its array {name!r} claims the shape {shape} in {size} bytes"
                    raise self._refused(claimed)
                file.seek(0)
                array: np.ndarray = npy.read_array(file, allow_pickle=False)
        return array

    def _images(self, images: np.ndarray) -> np.ndarray:
        if images.dtype != np.uint8:
            raise self._refused(
                f"images are {images.dtype}, uint8 (0-255) is needed; "
                "scale them and store them with astype('uint8')"
            )
        shaped = images[..., None] if images.ndim == 3 else images
        if shaped.ndim != 4 or shaped.shape[-1] not in (1, 3) or not shaped.size:
            raise self._refused(
                f"images have shape {images.shape}; "
                "[N, H, W] or [N, H, W, C] with C 1 or 3 and N > 0 is needed"
            )
        return np.ascontiguousarray(shaped.transpose(0, 3, 1, 2))

    def _labels(
        self, labels: np.ndarray, classes: np.ndarray | None, count: int
    ) -> tuple[np.ndarray, list[str]]:
        """Return labels int64 [N] and the names that they index."""
        if labels.shape != (count,):
            raise self._refused(
                f"{count} images, but labels of shape {labels.shape}; one label an image is needed"
            )
        if classes is None:
            names, labels = np.unique(self._names("labels", labels), return_inverse=True)
        else:
            names = self._names("classes", classes)
            if labels.dtype.kind not in INTEGERS or labels.min() < 0 or labels.max() >= len(names):
                raise self._refused(
                    f"labels must be integers from 0 to {len(names) - 1}, "
                    "indices into its array 'classes'"
                )
        return labels.astype(np.int64), [str(name) for name in names]

    def _names(self, array: str, values: np.ndarray) -> np.ndarray:
        """Return values that are whole numbers or text."""
        if values.dtype.kind not in INTEGERS + TEXT + BYTES or values.ndim != 1:
            raise self._refused(
                f"its {array} are {values.dtype} {values.shape}; a list of whole numbers or of "
                "text is needed"
            )
        if values.dtype.kind == BYTES:
            with failing_as(f"{self.filepath}: its {array} are bytes, but no UTF-8"):
                return np.strings.decode(values, "utf-8")
        return values
