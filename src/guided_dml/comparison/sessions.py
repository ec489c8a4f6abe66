"""Kedro sessions from Python: their configuration, and runs whose results stay in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kedro.framework import project as configured
from kedro.framework.context import KedroContext
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.io import CatalogProtocol, MemoryDataset
from kedro.pipeline import Pipeline
from kedro.runner import SequentialRunner
from omegaconf import OmegaConf

Nested = dict[str, Any]


@contextmanager
def session(project: Path, env: str, parameters: Nested) -> Iterator[tuple[KedroSession, Any]]:
    """Open a session of a data set, and return it with its context.

    Raises:
        InputError: A parameter is wrong.
    """
    if configured.PACKAGE_NAME is None:  # (each time costs a second, and makes all pipelines anew)
        bootstrap_project(project)
    opened: Any
    with KedroSession.create(project, env=env, runtime_params=parameters) as opened:
        context: KedroContext = opened.load_context()
        yield opened, context


def merged(*layers: Nested) -> Nested:
    """Return nested dictionaries laid over each other, the last on top."""
    result: Nested = OmegaConf.to_container(OmegaConf.merge(*layers))  # type: ignore[assignment]
    return result


class InMemoryRunner(SequentialRunner):
    """Kedro's sequential runner; what the nodes return stays here and goes to no disk."""

    def __init__(self) -> None:
        super().__init__()
        self.results: dict[str, MemoryDataset] = {}
        self.catalog: CatalogProtocol[Any, Any]

    def run(
        self, pipeline: Pipeline, catalog: CatalogProtocol[Any, Any], *rest: Any, **options: Any
    ) -> dict[str, Any]:
        """Run, with every output in memory."""
        self.catalog = catalog
        for name in pipeline.all_outputs():
            self.results[name] = catalog[name] = _Kept(copy_mode="assign")
        outputs: dict[str, Any] = super().run(pipeline, catalog, *rest, **options)
        return outputs


class _Kept(MemoryDataset):
    """Data that are still there when the last node has read them."""

    def _release(self) -> None:
        pass
