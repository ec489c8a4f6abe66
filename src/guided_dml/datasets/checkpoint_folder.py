"""The checkpoints of trainings that are under way, as an input of the nodes that train."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from guided_dml.datasets.reading import ReadOnly

if TYPE_CHECKING:
    from guided_dml.training.checkpoints import CheckpointStore


class CheckpointsDataset(ReadOnly["CheckpointStore"]):
    """A folder of checkpoints; one store a session, which knows what the session used.

    The training loop writes them, the catalog does not.
    """

    def __init__(
        self, *, path: str, interval: float = 10.0, metadata: dict[str, Any] | None = None
    ) -> None:
        """Choose the folder.

        Args:
            path: The folder; it exists only while it holds a checkpoint.
            interval: Seconds between two checkpoints of a training, at the ends of epochs.
            metadata: Of :class:`ReadOnly`.
        """
        super().__init__(metadata=metadata)
        self.path, self._interval = Path(path), interval
        self._store: CheckpointStore | None = None

    def load(self) -> CheckpointStore:
        """Return the session's store."""
        from guided_dml.training.checkpoints import CheckpointStore

        if self._store is None:
            self._store = CheckpointStore(self.path, self._interval)
        return self._store
