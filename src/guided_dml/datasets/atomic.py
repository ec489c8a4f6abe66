"""A local filesystem on which a file is there whole, or not at all.

Kedro's datasets write through fsspec. A process killed while writing would leave half a file
under the newest version, and the next load would fail. Here a file is written beside its place
as ``NAME.partial``, flushed to the disk, and renamed when it was closed without an error.
"""

from __future__ import annotations

import os
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileOpener, LocalFileSystem


class AtomicLocalFileSystem(LocalFileSystem):  # type: ignore[misc]
    """fsspec's local filesystem, writing atomically."""

    def _open(self, path: str, mode: str = "rb", **options: Any) -> LocalFileOpener:
        if "w" not in mode:
            return super()._open(path, mode, **options)
        path = self._strip_protocol(path)
        if self.auto_mkdir:
            self.makedirs(self._parent(path), exist_ok=True)
        return _PartialFile(path, mode, fs=self, **options)


class _PartialFile(LocalFileOpener):  # type: ignore[misc]
    def __init__(self, path: str, mode: str, **options: Any) -> None:
        self._place, self._partial = path, f"{path}.partial"
        super().__init__(self._partial, mode, **options)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._keep()

    def __exit__(self, error_type: Any, *rest: Any) -> None:
        if error_type is None:
            self.close()
        else:
            super().close()
            os.remove(self._partial)

    def _keep(self) -> None:
        # (opened anew: a dataset may have written to the file's name, not through this handle)
        with open(self._partial, "rb") as file:
            os.fsync(file.fileno())
        os.replace(self._partial, self._place)


def write_atomically() -> None:
    """Make every local dataset of this process write atomically."""
    fsspec.register_implementation("file", AtomicLocalFileSystem, clobber=True)
    fsspec.register_implementation("local", AtomicLocalFileSystem, clobber=True)
