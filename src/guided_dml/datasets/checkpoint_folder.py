"""The checkpoints of trainings that are under way, as an input of the nodes that train."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset, DatasetError

if TYPE_CHECKING:
    from guided_dml.training.checkpoints import CheckpointStore


class CheckpointsDataset(AbstractDataset[None, "CheckpointStore"]):
    """A folder of checkpoints; one store a session, which knows what the session used."""

    def __init__(
        self, *, path: str, interval: float = 10.0, metadata: dict[str, Any] | None = None
    ) -> None:
        """Choose the folder.

        Args:
            path: The folder; it exists only while it holds a checkpoint.
            interval: Seconds between two checkpoints of a training, at the ends of epochs.
            metadata: Ignored by Kedro; kedro-viz reads its layer there.
        """
        self.metadata = metadata
        self._path, self._interval = Path(path), interval
        self._store: CheckpointStore | None = None

    def load(self) -> CheckpointStore:
        """Return the session's store."""
        from guided_dml.training.checkpoints import CheckpointStore

        if self._store is None:
            self._store = CheckpointStore(self._path, self._interval)
        return self._store

    def save(self, data: None) -> None:  # noqa: ARG002
        """Refuse: the training loop writes checkpoints, the catalog does not."""
        raise DatasetError("checkpoints are written by the training loop only")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"path": self._path}
