"""A folder tree of new images, each read when it is its turn."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from guided_dml.datasets.image_folder import BROKEN, IMAGE, SUFFIXES, kind_of
from guided_dml.datasets.reading import ReadOnly
from guided_dml.errors import InputError, failing_as, one_of
from guided_dml.inference.images import Reader, printable, read_image


class NewImagesDataset(ReadOnly[dict[str, Reader]]):
    """PNG, JPEG and WebP files in a folder and all below it; other files are passed over."""

    def __init__(self, *, path: str | None, metadata: dict[str, Any] | None = None) -> None:
        """Choose a folder; ``metadata`` is kedro-viz's."""
        super().__init__(metadata=metadata)
        self.path = None if path is None else Path(path)

    def load(self) -> dict[str, Reader]:
        """Return by the path of each image, relative to the folder, what reads it.

        Raises:
            InputError: No folder is named, there is none, or it has no images.
        """
        if self.path is None:
            raise InputError(
                "no images named; run with --params inference.images=FOLDER, a folder of "
                f"{one_of(SUFFIXES)}"
            )
        if not self.path.is_dir():
            raise InputError(f"inference.images: there is no folder {self.path}")
        with failing_as(f"inference.images: {self.path} cannot be read"):
            files = sorted(path for path in _files(self.path) if _is_image(path))
        if not files:
            raise InputError(
                f"inference.images: no images in {self.path}; allowed are {one_of(SUFFIXES)}"
            )
        found: dict[str, Reader] = {}
        for path in files:
            name = printable(path.relative_to(self.path).as_posix())
            name += f" ({len(found) + 1})" * (name in found)  # (of bytes that are no text)
            found[name] = partial(read_image, path, name=printable(path.name))
        return found


def _files(folder: Path) -> Iterator[Path]:
    """Yield what is not hidden in a folder and below it, in folders that are links as well."""
    for place, folders, files in os.walk(folder, onerror=_refuse, followlinks=True):
        here = Path(place)
        if here.is_symlink() and here.resolve() in (above.resolve() for above in here.parents):
            folders.clear()  # (a link to where it came from)
            continue
        folders[:] = (name for name in folders if not name.startswith("."))
        yield from (here / name for name in files if not name.startswith("."))


def _is_image(path: Path) -> bool:
    # (a pipe, say, would be waited for; a broken link is an image that cannot be read)
    return path.suffix.lower() in SUFFIXES and kind_of(path) in (IMAGE, BROKEN)


def _refuse(error: OSError) -> None:
    raise error
