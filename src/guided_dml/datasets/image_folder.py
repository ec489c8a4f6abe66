"""A folder of class folders of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from guided_dml.datasets.reading import ReadOnlyImages, fingerprint_of
from guided_dml.errors import InputError, failing_as, one_of
from guided_dml.inference.images import Resize, Rules, read_image
from guided_dml.types import LabelledImages

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}
#: What file managers leave behind; what begins with a dot is passed over as well.
LEFT_BEHIND = {"thumbs.db", "desktop.ini"}
#: What a thing in the folder is called, and what is in the way beside the class folders.
IMAGE, FOLDER, BROKEN = MISPLACED = ("an image", "a folder", "a broken link")
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
            metadata: Of :class:`ReadOnlyImages`.

        Raises:
            InputError: An option has no such value.
        """
        super().__init__(metadata=metadata)
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
        classes, labels = np.unique([file.parent.name for file in files], return_inverse=True)
        return LabelledImages(
            images,
            labels=labels.astype(np.int64),
            classes=classes.tolist(),
            names=[self._name(file) for file in files],
            test=np.array([f.parents[1].name == "test" for f in files]) if in_parts else None,
            facts={
                "source": str(self.path),
                "fingerprint": self._fingerprint(files),
                "reading": {"resize": self.rules.resize, "background": self.rules.background},
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
            loose = [entry for entry in entries if not entry.is_dir()]
            if parts:
                loose += [entry for entry in _visible(self.path) if entry not in parts]
            inside = [entry for folder in classes for entry in _visible(folder)]
            # (beside the classes a list of labels, say, is in nobody's way)
            strays = {entry: kind_of(entry) for entry in loose if kind_of(entry) in MISPLACED}
            strays |= {entry: kind_of(entry) for entry in inside if kind_of(entry) != IMAGE}
            filled = {entry.parent for entry in inside}
            strays |= {
                folder: "a class without images" for folder in classes if folder not in filled
            }
        if not classes:
            raise InputError(f"{self.path}: no class folders in it; FOLDER/CLASS/IMAGE is needed")
        if strays:
            raise InputError(self._listed(strays))
        return inside

    def _listed(self, strays: dict[Path, str]) -> str:
        lines = [f"{self._name(path)!r} ({kind})" for path, kind in strays.items()]
        more = f" and {len(lines) - LISTED} more" if len(lines) > LISTED else ""
        return (
            f"{self.path}: no images of a class: {', '.join(lines[:LISTED])}{more}; remove or move "
            f"them: allowed is FOLDER/CLASS/IMAGE, with IMAGE {one_of(SUFFIXES)}"
        )


def _visible(folder: Path) -> list[Path]:
    entries = (entry for entry in folder.iterdir() if not entry.name.startswith("."))
    return sorted(entry for entry in entries if entry.name.lower() not in LEFT_BEHIND)


def kind_of(path: Path) -> str:
    """Return what a thing in a folder is, in words."""
    if path.is_dir():
        return FOLDER
    if path.is_file():
        return IMAGE if path.suffix.lower() in SUFFIXES else "not an image"
    return "no regular file" if path.exists() else BROKEN
