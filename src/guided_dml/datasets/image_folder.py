"""A folder of class folders of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from guided_dml.datasets.image_file import Resize, Rules, read_image
from guided_dml.datasets.reading import ReadOnlyImages, failing_as, fingerprint_of
from guided_dml.errors import InputError, one_of
from guided_dml.types import LabelledImages

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}
#: What file managers leave behind; what begins with a dot is passed over as well.
LEFT_BEHIND = {"thumbs.db", "desktop.ini"}
#: Of the files that are in the way, so many are listed.
LISTED = 10


class ImageFolderDataset(ReadOnlyImages):
    """PNG, JPEG and WebP images in a folder per class.

    ``path/train/<class>/*`` and ``path/test/<class>/*`` where both are given; else
    ``path/<class>/*``, which ingestion splits.
    """

    def __init__(
        self,
        *,
        path: str,
        image_size: int | None = None,
        channels: int | None = None,
        resize: Resize = "squash",
        background: str = "white",
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Choose a folder.

        Args:
            path: The folder.
            image_size: Side in pixels to which images of another size are resized (bilinear);
                None where all have one size already.
            channels: 1 converts to grey, 3 to colour; None where all are of one kind already.
            resize: Of an image that is no square, ``squash`` changes the proportions, ``crop``
                cuts off what is beside the central square, ``pad`` adds background.
            background: Colour below transparent pixels and beside padded images: a name such as
                ``white``, or ``#rrggbb``.
            metadata: Ignored by Kedro; kedro-viz reads its layer there.

        Raises:
            InputError: An option has no such value.
        """
        self.metadata = metadata
        self.path = Path(path)
        self.rules = Rules(image_size, channels, resize, background)
        self.rules.check()

    def fingerprint(self) -> str:
        """Return a hash of the files and of what changes their pixels."""
        return self._fingerprint(self._files())

    def load(self) -> LabelledImages:
        """Return all images, each named by its file relative to the folder.

        Raises:
            InputError: Names the folder or the files, what is wrong and what would do.
        """
        files = self._files()
        in_parts = (self.path / "train").is_dir()
        read = read_image(files[0], self.rules)
        shape, sizes, changes = read.pixels.shape, set(), []
        with failing_as(f"{self.path}: {len(files)} images of {shape} are too many for memory"):
            images = np.empty((len(files), *shape), np.uint8)
        for path, place in zip(files, images, strict=True):
            read = read_image(path, self.rules)
            if read.pixels.shape != shape:
                raise InputError(self._mixture(path, read.pixels.shape, shape))
            place[:] = read.pixels
            sizes.add(read.size)
            changes.append(read.changed)
        classes = sorted({file.parent.name for file in files})
        return LabelledImages(
            images,
            labels=np.array([classes.index(file.parent.name) for file in files], np.int64),
            classes=classes,
            names=[self._name(file) for file in files],
            test=np.array([f.parents[1].name == "test" for f in files]) if in_parts else None,
            facts={
                "source": str(self.path),
                "fingerprint": self._fingerprint(files),
                "sizes_found": len(sizes),
            },
            changed={
                change: np.array([change in one for one in changes])
                for change in ("turned", "composited", "resized")
            },
        )

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

    def _name(self, path: Path) -> str:
        return path.relative_to(self.path).as_posix()

    def _fingerprint(self, files: list[Path]) -> str:
        return fingerprint_of({self._name(file): file for file in files}, **self.rules._asdict())

    def _files(self) -> list[Path]:
        """Return the images: CLASS/IMAGE, or train/CLASS/IMAGE and test/CLASS/IMAGE."""
        if not self.path.is_dir():
            raise InputError(f"{self.path}: there is no such folder")
        with failing_as(f"{self.path}: cannot be read"):
            parts = [self.path / name for name in ("train", "test") if (self.path / name).is_dir()]
            if len(parts) == 1:
                raise InputError(
                    f"{self.path}: one of train/ and test/ is missing; give both or none"
                )
            entries = [entry for part in parts or [self.path] for entry in _visible(part)]
            classes = [entry for entry in entries if entry.is_dir()]
            beside = [entry for entry in _visible(self.path) if entry not in parts] if parts else []
            inside = {folder: _visible(folder) for folder in classes}
            files = [file for some in inside.values() for file in some if _is_image(file)]
            strays = {
                **{entry: "an image of no class" for entry in entries + beside if _is_image(entry)},
                **{entry: "a folder" for entry in beside if entry.is_dir()},
                **{entry: "a broken link" for entry in entries + beside if not entry.exists()},
                **{folder: "a class without images" for folder in classes if not inside[folder]},
                **{e: _kind(e) for some in inside.values() for e in some if not _is_image(e)},
            }
        if not classes:
            raise InputError(f"{self.path}: no class folders in it; FOLDER/CLASS/IMAGE is needed")
        if strays:
            raise InputError(self._listed(strays))
        return files

    def _listed(self, strays: dict[Path, str]) -> str:
        lines = [f"{self._name(path)!r} ({kind})" for path, kind in strays.items()]
        more = f" and {len(lines) - LISTED} more" if len(lines) > LISTED else ""
        return (
            f"{self.path}: {', '.join(lines[:LISTED])}{more}: remove them, or make them images; "
            f"allowed in the folder of a class are {one_of(SUFFIXES)}"
        )


def _visible(folder: Path) -> list[Path]:
    entries = (entry for entry in folder.iterdir() if not entry.name.startswith("."))
    return sorted(entry for entry in entries if entry.name.lower() not in LEFT_BEHIND)


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()


def _kind(path: Path) -> str:
    if path.is_dir():
        return "a folder"
    if not path.exists():
        return "a broken link"
    return "not an image" if path.is_file() else "no regular file"
