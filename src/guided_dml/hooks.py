"""What the project adds to a Kedro session: checks, fixed versions, a line a step, a summary."""

from __future__ import annotations

import logging
from time import perf_counter
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import AbstractVersionedDataset, CatalogProtocol, Version
from kedro.io.core import VersionNotFoundError
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from guided_dml.errors import InputError, one_of
from guided_dml.parameters import Parameters, validated

logger = logging.getLogger(__name__)


class ProjectHooks:
    """Hooks of one session at a time."""

    def __init__(self) -> None:
        self._parameters: Parameters
        self._dataset: str
        self._catalog: CatalogProtocol[Any, Any]
        self._steps = self._done = 0
        self._started = 0.0

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Check all parameters, and let relative roots of raw data start at the project."""
        loader = context.config_loader
        self._parameters = validated(loader["parameters"])
        self._dataset = loader["globals"]["dataset"]
        catalog = loader["catalog"]
        for entry in catalog.values():
            if isinstance(entry, dict) and "root" in entry:
                entry["root"] = str(context.project_path / entry["root"])
        loader["catalog"] = catalog

    @hook_impl
    def after_catalog_created(self, catalog: CatalogProtocol[Any, Any]) -> None:
        """Remember the session's catalog."""
        self._catalog = catalog

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, pipeline: Pipeline) -> None:
        """Choose the version of each stored input now.

        Chosen at its first use, it could be one that another run wrote in the meantime.
        """
        for name in sorted(pipeline.inputs()):
            dataset = self._catalog.get(name)
            if isinstance(dataset, AbstractVersionedDataset) and dataset._version:
                _pin(dataset, self._stored_version(name, dataset))
        self._steps, self._done = len(pipeline.nodes), 0

    @hook_impl
    def after_dataset_saved(self, dataset_name: str) -> None:
        """Let this session read back what it saved, not the newest version on the disk."""
        dataset = self._catalog.get(dataset_name)
        if isinstance(dataset, AbstractVersionedDataset) and dataset._version:
            _pin(dataset, dataset.resolve_save_version())

    @hook_impl
    def before_node_run(self) -> None:
        """Start the clock."""
        self._started = perf_counter()

    @hook_impl
    def after_node_run(self, node: Node) -> None:
        """Log a line a step."""
        self._done += 1
        seconds = perf_counter() - self._started
        logger.info("[%2d/%d] %-30s %7.1f s", self._done, self._steps, node.name, seconds)

    @hook_impl
    def after_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline) -> None:
        """Drop the checkpoints of what is stored now; log the scores and where to look next."""
        if "checkpoints" in pipeline.inputs():
            self._catalog.load("checkpoints").remove_used()
        for name in sorted(pipeline.all_outputs()):
            if name.endswith(".scores"):
                logger.info(self._summary(name.removesuffix(".scores"), run_params["run_id"]))

    def _summary(self, method: str, version: str) -> str:
        scores = self._catalog.load(f"{method}.scores")
        on = self._parameters.evaluation.split
        lines = [
            "",
            f"{method} on {self._dataset}, seed {self._parameters.seed}, {on} set, in %",
            "  Recall@1        F1       NMI        RP     MAP@R",
            "".join(
                f"{100 * scores[key]:10.2f}"
                for key in ("recall_at_1", "f1", "nmi", "r_precision", "map_at_r")
            ),
        ]
        if self._catalog.exists("pixel_scores"):
            pixels = 100 * self._catalog.load("pixel_scores")["recall_at_1"]
            lines.append(f"{pixels:10.2f}  raw pixels, nearest neighbour (test set)")
        return "\n".join(
            [
                *lines,
                "",
                f"Figures:       data/08_reporting/{self._dataset}/{method}/*/{version}/*",
                "Compare runs:  make mlflow   See the pipelines:  make viz",
            ]
        )

    def _stored_version(self, name: str, dataset: AbstractVersionedDataset[Any, Any]) -> str:
        """Return the version asked for, or the newest."""
        asked = dataset._version.load if dataset._version else None
        try:
            stored = dataset.list_versions(full_path=False)
        except VersionNotFoundError:
            stored = []
        if asked in stored:
            return str(asked)
        if asked:
            known = ", ".join(stored[:5]) or "none"
            raise InputError(f"{name} has no version {asked}; the newest stored: {known}")
        if not stored:
            raise InputError(
                f"no {name} is stored for the data set {self._dataset}; first run the pipeline "
                f"{one_of(_makers(name))}, or all of it with a plain kedro run"
            )
        return stored[0]


def _pin(dataset: AbstractVersionedDataset[Any, Any], version: str | None) -> None:
    dataset._version = Version(version, dataset.resolve_save_version())


def _makers(name: str) -> list[str]:
    from kedro.framework.project import pipelines

    return [
        step
        for step, pipeline in pipelines.items()
        if step != "__default__" and name in pipeline.all_outputs()
    ]
