"""What the readers of labelled images share."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError

from guided_dml.errors import failing_as
from guided_dml.types import LabelledImages


class ReadOnlyImages(AbstractDataset[None, LabelledImages]):
    """A source of labelled images that is only ever read, and read whole: ingestion splits it.

    Args:
        metadata: Ignored by Kedro; kedro-viz reads its layer there.
    """

    def __init__(self, *, metadata: dict[str, Any] | None = None) -> None:
        self.metadata = metadata

    def fingerprint(self) -> str:
        """Return a hash that changes with what ``load`` would return.

        A reader of files tells it from their bytes, without decoding them, and reports it as
        ``facts["fingerprint"]``.
        """
        return self.load().fingerprint()

    def save(self, data: None) -> None:  # noqa: ARG002
        """Refuse: raw data are never written."""
        raise DatasetError("raw images are only read, never saved")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        hidden = ("_", "metadata")
        return {name: value for name, value in vars(self).items() if not name.startswith(hidden)}


def fingerprint_of(files: Mapping[str, Path], **settings: Any) -> str:
    """Return a hash of files, their names, and the settings that they are read with.

    Raises:
        InputError: A file cannot be read.
    """
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name, path in files.items():
        with failing_as(f"{path}: cannot be read"), path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").digest()
        digest.update(os.fsencode(name) + b"\0" + content)
    return digest.hexdigest()
