"""What the datasets that are only read share."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from kedro.io import AbstractDataset, DatasetError

from guided_dml.errors import failing_as
from guided_dml.types import LabelledImages

T = TypeVar("T")


class ReadOnly(AbstractDataset[None, T]):
    """What the catalog only ever reads.

    Args:
        metadata: Ignored by Kedro; kedro-viz reads its layer there.
    """

    def __init__(self, *, metadata: dict[str, Any] | None = None) -> None:
        self.metadata = metadata

    def save(self, data: None) -> None:  # noqa: ARG002
        """Refuse: it is never written."""
        raise DatasetError("this is only read, never saved")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        hidden = ("_", "metadata")
        return {name: value for name, value in vars(self).items() if not name.startswith(hidden)}


class ReadOnlyImages(ReadOnly[LabelledImages]):
    """A source of labelled images, read whole: ingestion splits it."""

    def fingerprint(self) -> str:
        """Return a hash that changes with what ``load`` would return.

        A reader of files tells it from their bytes, without decoding them, and reports it as
        ``facts["fingerprint"]``.
        """
        return self.load().fingerprint()


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
