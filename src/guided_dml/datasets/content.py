"""The bytes of a file that another library made."""

from __future__ import annotations

from copy import deepcopy
from pathlib import PurePosixPath
from typing import Any

import fsspec
from kedro.io import AbstractVersionedDataset, Version
from kedro.io.core import get_filepath_str, get_protocol_and_path


class ContentDataset(AbstractVersionedDataset[bytes, bytes]):
    """A file as it is."""

    def __init__(
        self,
        *,
        filepath: str,
        version: Version | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Choose a file; ``metadata`` is kedro-viz's and ours."""
        protocol, path = get_protocol_and_path(filepath, version)
        self._protocol, self.metadata = protocol, deepcopy(metadata)
        self._fs = fsspec.filesystem(
            protocol, **({"auto_mkdir": True} if protocol == "file" else {})
        )
        super().__init__(PurePosixPath(path), version, self._fs.exists, self._fs.glob)

    def load(self) -> bytes:
        """Return the content."""
        with self._fs.open(get_filepath_str(self._get_load_path(), self._protocol), "rb") as file:
            content: bytes = file.read()
        return content

    def save(self, data: bytes) -> None:
        """Write the content."""
        with self._fs.open(get_filepath_str(self._get_save_path(), self._protocol), "wb") as file:
            file.write(data)

    def _exists(self) -> bool:
        return bool(self._fs.exists(get_filepath_str(self._get_load_path(), self._protocol)))

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath, "protocol": self._protocol, "version": self._version}
