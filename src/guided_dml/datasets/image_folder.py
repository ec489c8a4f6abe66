"""A folder of class folders of images."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from guided_dml.datasets.reading import ReadOnlyImages, Split, check_split, part
from guided_dml.errors import InputError, one_of
from guided_dml.types import LabelledImages

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}
GREY_MODES = {"1", "L", "LA"}
COLOUR_MODES = {"RGB", "RGBA", "P", "CMYK", "YCbCr"}


class ImageFolderDataset(ReadOnlyImages):
    """PNG, JPEG and WebP images in a folder per class.

    ``path/train/<class>/*`` and ``path/test/<class>/*`` where both are given; else
    ``path/<class>/*``, of which a stratified share is the test part.
    """

    def __init__(
        self,
        *,
        path: str,
        split: Split,
        image_size: int | None = None,
        channels: int | None = None,
        test_share: float = 0.2,
        seed: int = 0,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Choose a folder and a part of it.

        Args:
            path: The folder.
            split: ``train`` or ``test``.
            image_size: Side in pixels to which images of another size are resized (bilinear,
                without keeping the proportions); None where all have one size already.
            channels: 1 converts to grey, 3 to colour; None where all are of one kind already.
            test_share: Share of the test part where the folder does not give one.
            seed: Seed of that split.
            metadata: Ignored by Kedro; kedro-viz reads its layer there.
        """
        check_split(split)
        self.metadata = metadata
        if channels not in (None, 1, 3):
            raise InputError(f"channels: {channels!r} given; must be 1 (grey), 3 (colour) or null")
        self.path = Path(path)
        self.split: Split = split
        self.image_size, self.channels = image_size, channels
        self.test_share, self.seed = test_share, seed

    def load(self) -> LabelledImages:
        """Return the part.

        Raises:
            InputError: Names the folder or the file, what is wrong with it and what would do.
        """
        if not self.path.is_dir():
            raise InputError(f"{self.path}: there is no such folder")
        given = [self.path / "train", self.path / "test"]
        if all(folder.is_dir() for folder in given):
            return self._read(self.path / self.split)
        if any(folder.is_dir() for folder in given):
            raise InputError(f"{self.path}: one of train/ and test/ is missing; give both or none")
        return part(self._read(self.path), self.split, self.test_share, self.seed)

    def _read(self, folder: Path) -> LabelledImages:
        files = _files_by_class(folder)
        pixels: list[np.ndarray] = []
        sizes: Counter[tuple[int, int]] = Counter()
        resized = 0
        for path in (path for paths in files.values() for path in paths):
            array, size = self._pixels(path)
            if pixels and array.shape != pixels[0].shape:
                raise InputError(self._mixture(path, array.shape, pixels[0].shape))
            resized += size != array.shape[1:]
            sizes[size] += 1
            pixels.append(array)
        labels = [label for label, paths in enumerate(files.values()) for _ in paths]
        facts = {"source": str(folder), "resized": resized, "sizes_found": len(sizes)}
        return LabelledImages(np.stack(pixels), np.array(labels, np.int64), list(files), facts)

    def _pixels(self, path: Path) -> tuple[np.ndarray, tuple[int, int]]:
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(path) as file:
                size = (file.height, file.width)
                if file.format == "PNG" and _bits_of_png(path) == 16:  # (Pillow would cut them)
                    raise InputError(f"{path}: 16 bits a channel; 8 are needed: convert the file")
                image = file.convert(self._mode(path, file))
        except UnidentifiedImageError as error:
            raise InputError(f"{path}: this is no image; remove it") from error
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise InputError(f"{path}: this image is damaged ({error}); remove it") from error
        if self.image_size is not None and size != (self.image_size, self.image_size):
            image = image.resize((self.image_size, self.image_size), Image.Resampling.BILINEAR)
        array = np.asarray(image)
        return (array[None] if array.ndim == 2 else array.transpose(2, 0, 1)), size

    def _mode(self, path: Path, image: Image) -> str:
        if image.mode not in GREY_MODES | COLOUR_MODES:
            raise InputError(
                f"{path}: its pixels are {image.mode!r} (16 bit or float); "
                "8-bit grey or colour is needed: convert the file"
            )
        if self.channels is None:
            return "L" if image.mode in GREY_MODES else "RGB"
        return {1: "L", 3: "RGB"}[self.channels]

    def _mixture(self, path: Path, shape: tuple[int, ...], before: tuple[int, ...]) -> str:
        if shape[0] != before[0]:
            return (
                f"{path}: grey and colour images are mixed in {self.path}; "
                "set channels to 1 or 3 in the catalog to convert all of them"
            )
        return (
            f"{path}: {shape[1]}x{shape[2]} pixels where the images before have "
            f"{before[1]}x{before[2]}; set image_size in the catalog to resize all of them"
        )


def _bits_of_png(path: Path) -> int:
    with path.open("rb") as file:
        return file.read(25)[24]


def _files_by_class(folder: Path) -> dict[str, list[Path]]:
    def visible(parent: Path) -> list[Path]:
        return sorted(path for path in parent.iterdir() if not path.name.startswith("."))

    folders = [path for path in visible(folder) if path.is_dir()]
    if not folders:
        raise InputError(f"{folder}: no class folders in it; FOLDER/CLASS/IMAGE is needed")
    files = {path.name: visible(path) for path in folders}
    for name, paths in files.items():
        if not paths:
            raise InputError(f"{folder / name}: this class has no images; fill or remove it")
        for path in paths:
            if path.suffix.lower() not in SUFFIXES:
                raise InputError(f"{path}: not an image; allowed are {one_of(SUFFIXES)}")
    return files
