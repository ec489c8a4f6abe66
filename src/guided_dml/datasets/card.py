"""The card of a trained network, as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.utils import find_kedro_project
from kedro_datasets.json import JSONDataset

from guided_dml.inference.card import Card
from guided_dml.provenance import git_state, library_versions


class CardDataset(JSONDataset):  # type: ignore[misc]
    """Stores a card with the data set, the commit and the libraries that it comes from."""

    def __init__(self, *, data_set: str, **options: Any) -> None:
        """Take the data set's name, and what ``JSONDataset`` takes."""
        super().__init__(**options)
        self._data_set = data_set

    def save(self, data: Card) -> None:
        """Store a card."""
        project = find_kedro_project(Path(self._filepath)) or Path.cwd()
        made_by = git_state(project) | {"libraries": library_versions()}
        super().save(data._replace(data_set=self._data_set, made_by=made_by)._asdict())

    def load(self) -> Card:
        """Return the stored card."""
        return Card.of(super().load(), self._get_load_path())
