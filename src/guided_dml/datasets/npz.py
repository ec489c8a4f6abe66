"""Labelled images in one NumPy ``.npz`` file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from guided_dml.datasets.reading import ReadOnlyImages, Split, check_split, failing_as, part
from guided_dml.errors import InputError
from guided_dml.types import LabelledImages


class NpzImagesDataset(ReadOnlyImages):
    """``images`` uint8 ``[N, H, W]`` or ``[N, H, W, C]`` and ``labels`` ``[N]``, integer or text.

    An integer label may index an array ``classes`` of names in the same file.
    """

    def __init__(
        self,
        *,
        filepath: str,
        split: Split,
        test_share: float | None = 0.2,
        seed: int = 0,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Choose a file and a part of it.

        Args:
            filepath: The ``.npz`` file.
            split: ``train`` or ``test``.
            test_share: Stratified share of the images that is the test part; None when the
                whole file is the part that ``split`` names.
            seed: Seed of the split.
            metadata: Ignored by Kedro; kedro-viz reads its layer there.
        """
        check_split(split)
        self.metadata = metadata
        self.filepath = Path(filepath)
        self.split: Split = split
        self.test_share, self.seed = test_share, seed

    def load(self) -> LabelledImages:
        """Return the part; nothing in the file is unpickled.

        Raises:
            InputError: Names the file and what is wrong with it.
        """
        arrays = self._arrays()
        images, labels, classes = self._images(arrays), arrays["labels"], arrays.get("classes")
        if labels.ndim != 1 or len(labels) != len(images):
            raise InputError(
                f"{self.filepath}: {len(images)} images, but labels of shape {labels.shape}; "
                "one label an image is needed"
            )
        if classes is None:
            classes, labels = np.unique(labels, return_inverse=True)
        elif not np.issubdtype(labels.dtype, np.integer) or not (
            labels.min() >= 0 and labels.max() < len(classes)
        ):
            raise InputError(
                f"{self.filepath}: labels must be integers from 0 to {len(classes) - 1}, "
                "indices into its array 'classes'"
            )
        everything = LabelledImages(
            images,
            labels.astype(np.int64),
            [str(name) for name in classes],
            {"source": str(self.filepath)},
        )
        if self.test_share is None:
            return everything
        return part(everything, self.split, self.test_share, self.seed)

    def _arrays(self) -> dict[str, np.ndarray]:
        if not self.filepath.is_file():
            raise InputError(f"{self.filepath}: there is no such file")
        with (
            failing_as(f"{self.filepath}: not a whole .npz file of plain arrays"),
            self.filepath.open("rb") as file,
            np.load(file, allow_pickle=False) as stored,
        ):
            arrays = {name: stored[name] for name in stored.files}
        missing = {"images", "labels"} - set(arrays)
        if missing:
            raise InputError(
                f"{self.filepath}: no array named {' or '.join(sorted(missing))}; "
                f"it holds {', '.join(sorted(arrays)) or 'nothing'}"
            )
        return arrays

    def _images(self, arrays: dict[str, np.ndarray]) -> np.ndarray:
        images = arrays["images"]
        if images.dtype != np.uint8:
            raise InputError(
                f"{self.filepath}: images are {images.dtype}, uint8 (0-255) is needed; "
                "scale them and store them with astype('uint8')"
            )
        if images.ndim == 3:
            images = images[..., None]
        if images.ndim != 4 or images.shape[-1] not in (1, 3) or not len(images):
            raise InputError(
                f"{self.filepath}: images have shape {arrays['images'].shape}; "
                "[N, H, W] or [N, H, W, C] with C 1 or 3 and N > 0 is needed"
            )
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
