"""Kedro's partitions, of which there may be none yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kedro_datasets.partitions import PartitionedDataset


class PartitionsDataset(PartitionedDataset):  # type: ignore[misc]
    """A folder of files, each under its place; without any an empty one, not an error."""

    def load(self) -> dict[str, Callable[[], Any]]:
        """Return what loads each file, by its place."""
        found: dict[str, Callable[[], Any]] = super().load() if self.exists() else {}
        return found
