"""A local filesystem on which a file is there whole, or not at all.

Kedro's datasets write through fsspec. A process killed while writing would leave half a file
under the newest version, and the next load would fail. Here a file is written beside its place
as ``NAME.<random>.partial``, flushed to the disk, and renamed when it was closed without an error.
"""

from __future__ import annotations

import contextlib
import io
import os
from typing import Any
from uuid import uuid4

import fsspec
from fsspec.implementations.local import LocalFileOpener, LocalFileSystem


class AtomicLocalFileSystem(LocalFileSystem):  # type: ignore[misc]
    """fsspec's local filesystem, writing atomically."""

    def open(self, path: str, mode: str = "rb", *rest: Any, **options: Any) -> Any:
        """Return a file, like the built-in ``open``."""
        if "w" not in mode or "b" in mode:
            return super().open(path, mode, *rest, **options)
        names = {"encoding", "errors", "newline"} & set(options)
        text = {name: options.pop(name) for name in names}
        return _PartialText(self.open(path, mode.replace("t", "") + "b", *rest, **options), **text)

    def _open(self, path: str, mode: str = "rb", **options: Any) -> LocalFileOpener:
        if "w" not in mode:
            return super()._open(path, mode, **options)
        path = self._strip_protocol(path)
        if self.auto_mkdir:
            self.makedirs(self._parent(path), exist_ok=True)
        return _PartialFile(path, mode, fs=self, **options)


class _PartialFile(LocalFileOpener):  # type: ignore[misc]
    def __init__(self, path: str, mode: str, **options: Any) -> None:
        # (a name of its own: two processes may write the same file)
        self._place, self._partial = path, f"{path}.{uuid4().hex[:8]}.partial"
        super().__init__(self._partial, mode, **options)

    def close(self) -> None:
        if self.closed:
            return
        try:
            super().close()
            # (opened anew: a dataset may have written to the file's name, not through this handle)
            with open(self._partial, "rb") as file:
                os.fsync(file.fileno())
            os.replace(self._partial, self._place)
        except BaseException:
            self._drop()
            raise

    def __exit__(self, error_type: Any, *rest: Any) -> None:
        if error_type is None:
            self.close()
        else:
            self._drop()

    def _drop(self) -> None:
        with contextlib.suppress(OSError):  # (a full disk takes no last bytes either)
            super().close()
        with contextlib.suppress(FileNotFoundError):
            os.remove(self._partial)


class _PartialText(io.TextIOWrapper):
    """Tells the file below of an error, which Python's own wrapper hides from it."""

    def __exit__(self, error_type: Any, *rest: Any) -> None:
        partial: Any = self.buffer
        if error_type is None:
            with partial:
                self.flush()
        else:
            partial.__exit__(error_type, *rest)


def write_atomically() -> None:
    """Make every local dataset of this process write atomically."""
    fsspec.register_implementation("file", AtomicLocalFileSystem, clobber=True)
    fsspec.register_implementation("local", AtomicLocalFileSystem, clobber=True)
