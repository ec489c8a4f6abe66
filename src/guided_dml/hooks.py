"""What the project adds to a Kedro session: checks, fixed versions, a line a step, a summary."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import AbstractVersionedDataset, CatalogProtocol, Version
from kedro.io.core import VersionNotFoundError
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from guided_dml import lineage
from guided_dml.errors import InputError, one_of
from guided_dml.parameters import Parameters, validated

logger = logging.getLogger(__name__)


#: Kept in partitions, one a run of a comparison.
COMPARED = ("comparisons", "scoreboard", "scoreboard_embeddings", "scoreboard_images")


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
        """Check all parameters."""
        loader = context.config_loader
        self._parameters = validated(loader["parameters"])
        self._dataset = loader["globals"]["dataset"]

    @hook_impl
    def after_catalog_created(self, catalog: CatalogProtocol[Any, Any]) -> None:
        """Remember the session's catalog."""
        self._catalog = catalog

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline) -> None:
        """Choose the version of each stored input now, and check that they fit together.

        Chosen at its first use, it could be one that another run wrote in the meantime.
        """
        for name in COMPARED:
            if name in pipeline.inputs() and not self._catalog.exists(name):
                raise InputError(f"no {name} stored; first run `kedro compare`")
        asked = run_params["load_versions"] or {}
        # Who asks for old weights of a method means the history of the same training, too.
        of_method = {name.split(".")[0]: asked[name] for name in asked if "." in name}
        for name in sorted(pipeline.inputs(), key=lambda name: (name not in asked, name)):
            dataset = self._versioned(name)
            if dataset:
                wanted = asked.get(name, of_method.get(name.split(".")[0]))
                _pin(dataset, self._stored_version(name, dataset, wanted))
        inputs = self._files(pipeline.inputs())
        lineage.check_fit(inputs, {name: _makers(name) for name in inputs})
        self._steps, self._done = len(pipeline.nodes), 0

    @hook_impl(tryfirst=True)
    def after_dataset_saved(self, dataset_name: str, node: Node) -> None:
        """Let this session read back what it saved, not the newest version on the disk."""
        dataset = self._versioned(dataset_name)
        if dataset:
            _pin(dataset, dataset.resolve_save_version())
            path = self._files({dataset_name})[dataset_name]
            lineage.record(path, self._files(node.inputs))

    @hook_impl
    def before_node_run(self) -> None:
        """Start the clock."""
        self._started = perf_counter()

    @hook_impl
    def after_node_run(self, node: Node) -> None:
        """Log a line a step, and give back the memory that it took."""
        _trim_memory()
        self._done += 1
        seconds = perf_counter() - self._started
        logger.info("[%2d/%d] %-30s %7.1f s", self._done, self._steps, node.name, seconds)

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline) -> None:
        """Drop the checkpoints of what is stored now; log the scores and where to look next."""
        if "checkpoints" in pipeline.inputs():
            self._catalog.load("checkpoints").remove_used()
        for name in sorted(pipeline.all_outputs()):
            if name.endswith(".scores"):
                logger.info(self._summary(name.removesuffix(".scores"), pipeline.all_outputs()))
        for path in self._files({"comparison_markdown"} & pipeline.all_outputs()).values():
            folder = os.path.relpath(path.parents[2])
            logger.info("\nReport:   %s/*/%s/*", folder, path.parent.name)

    def _summary(self, method: str, made: set[str]) -> str:
        scores = self._catalog.load(f"{method}.scores")
        trained = f", seed {self._parameters.seed}" if f"{method}.weights" in made else ""
        keys = ("recall_at_1", "f1", "nmi", "r_precision", "map_at_r")
        lines = [
            "",
            f"{method} on {self._dataset}{trained}, {self._parameters.evaluation.split} set, in %",
            "  Recall@1        F1       NMI        RP     MAP@R",
            "".join(f"{100 * scores[key]:10.2f}" for key in keys),
        ]
        if "pixel_scores" in made:
            pixels = 100 * self._catalog.load("pixel_scores")["recall_at_1"]
            lines.append(f"{pixels:10.2f}  raw pixels, nearest neighbour (test set)")
        page = f"{method}.embedding_page"
        if page in made:
            path = self._files({page})[page]
            folder = os.path.relpath(path.parents[2])
            lines += [
                "",
                f"Figures:  {folder}/*/{path.parent.name}/*",
                "Compare:  make mlflow  (runs side by side)     make viz  (the pipelines)",
            ]
        return "\n".join(lines)

    def _versioned(self, name: str) -> AbstractVersionedDataset[Any, Any] | None:
        dataset = self._catalog.get(name)
        known = isinstance(dataset, AbstractVersionedDataset) and dataset._version
        return dataset if known else None

    def _files(self, names: Any) -> dict[str, Path]:
        """Return the files behind those of ``names`` that are stored in versions."""
        datasets = {name: self._versioned(name) for name in sorted(names)}
        return {name: Path(ds._get_load_path()) for name, ds in datasets.items() if ds}

    def _stored_version(
        self, name: str, dataset: AbstractVersionedDataset[Any, Any], asked: str | None
    ) -> str:
        """Return the version asked for, or the newest."""
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


def _trim_memory() -> None:
    """Let glibc give back what was freed: it would keep 200 MB of a CIFAR-10 run to its end."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim:
        trim(0)


def _pin(dataset: AbstractVersionedDataset[Any, Any], version: str | None) -> None:
    dataset._version = Version(version, dataset.resolve_save_version())


def _makers(name: str) -> list[str]:
    from kedro.framework.project import pipelines

    return [
        step
        for step, pipeline in pipelines.items()
        if step != "__default__" and name in pipeline.all_outputs()
    ]
