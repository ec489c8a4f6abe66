"""Datasets whose libraries are imported when they are used, not when a run starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

import fsspec
from kedro.io import AbstractDataset, AbstractVersionedDataset, Version
from kedro.io.core import VersionNotFoundError, get_filepath_str, get_protocol_and_path


class DeferredDataset(AbstractVersionedDataset[Any, Any]):
    """Stands for another dataset until something is loaded or saved.

    Kedro makes all datasets of a run before its first step. Those of pandas (with SQLAlchemy),
    matplotlib and plotly would import these libraries then: seconds, for what comes at the end.
    """

    def __init__(
        self,
        *,
        filepath: str,
        dataset: dict[str, Any],
        version: Version | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Choose the other dataset.

        Args:
            filepath: Of the file.
            dataset: The other dataset's catalog entry, without path and version.
            version: Of the file; Kedro gives it where the entry says ``versioned: true``.
            metadata: Ignored by Kedro; kedro-viz reads its layer there.
        """
        self.metadata = metadata
        self._dataset = dataset
        self._protocol, path = get_protocol_and_path(filepath, version)
        files = fsspec.filesystem(self._protocol)
        super().__init__(PurePosixPath(path), version, files.exists, files.glob)

    def load(self) -> Any:
        """Return what the other dataset loads."""
        return self._at(self._get_load_path()).load()

    def save(self, data: Any) -> None:
        """Let the other dataset save it."""
        self._at(self._get_save_path()).save(data)

    def _exists(self) -> bool:
        try:
            return bool(self._exists_function(str(self._get_load_path())))
        except VersionNotFoundError:
            return False

    @property
    def preview(self) -> Callable[..., Any]:
        """The other dataset's preview, for kedro-viz; there is none before a version is stored."""
        try:
            preview: Callable[..., Any] = self._at(self._get_load_path()).preview
        except VersionNotFoundError as error:
            raise AttributeError("nothing is stored yet") from error
        return preview

    def _at(self, path: PurePosixPath) -> Any:
        entry = self._dataset | {"filepath": get_filepath_str(path, self._protocol)}
        return AbstractDataset.from_config(self._dataset["type"], entry)

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath, "dataset": self._dataset, "version": self._version}
