"""Which stored versions a session reads, whether they fit, and what its own are made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.io import CatalogProtocol, Version
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from guided_dml import lineage
from guided_dml.errors import InputError, known, one_of
from guided_dml.lineage import Versioned, stored_file, stored_files, stored_versions, versioned
from guided_dml.parameters import defining, read_by, validated
from guided_dml.provenance import git_state
from guided_dml.robustness.names import other_sets

#: What a report cannot do without; the rest is drawn as far as it is there.
COMPARED = ("comparisons", "scoreboard")


class VersionHooks:
    """Chooses, checks and records versions, of one session at a time."""

    def __init__(self) -> None:
        self._dataset: str
        self._parameters: dict[str, Any]
        self._catalog: CatalogProtocol[Any, Any]

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember what results of this session are made with."""
        loader = context.config_loader
        self._dataset = loader["globals"]["dataset"]
        self._parameters = defining(validated(loader["parameters"]))

    @hook_impl(tryfirst=True)
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]
    ) -> None:
        """Choose the version of each stored input now, and check that they fit together.

        Chosen at its first use, it could be one that another run wrote in the meantime.
        """
        self._catalog = catalog
        git_state(Path(run_params["project_path"]))  # (now: later edits are not what is run)
        read = pipeline.inputs()
        for name in COMPARED:
            if name in read and not self._catalog.exists(name):
                raise InputError(f"no {name} stored; first run `kedro compare`")
        nowhere = one_of(name for name in read if name not in self._catalog)
        if nowhere:
            raise InputError(f"{nowhere}: stored nowhere; run the step that makes it as well")
        if run_params["only_missing_outputs"]:  # (what is there is read in place of made)
            read |= {name for name in pipeline.all_outputs() if self._catalog.exists(name)}
        asked = run_params["load_versions"] or {}
        stored = dict(versioned(self._catalog, read))
        known("stored input in --load-versions", asked, stored)
        for together in _saved_together(set(stored)):
            self._choose({name: stored[name] for name in together}, asked)
        files = stored_files(self._catalog, read)
        makers = {name: _makers(name) for name in files}
        evaluates = "params:evaluation" in pipeline.inputs()
        lineage.check_fit(files, makers, self._parameters, evaluates=evaluates)
        if "other_images" in read:
            self._check_other_images()

    @hook_impl(tryfirst=True)
    def before_dataset_saved(self, dataset_name: str, node: Node) -> None:
        """Record what a file is made from before it is there: a kill leaves none without.

        From now on this session reads this version, not the newest one on the disk.
        """
        for _, dataset in versioned(self._catalog, [dataset_name]):
            version = str(dataset.resolve_save_version())
            made_from = stored_files(self._catalog, node.inputs)
            lineage.record(
                stored_file(dataset, version), made_from, read_by(node.inputs, self._parameters)
            )
            _pin(dataset, version)

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline) -> None:
        """Drop the checkpoints of what is stored now."""
        stored = [*versioned(self._catalog, pipeline.all_outputs())]
        if stored and "checkpoints" in pipeline.inputs():
            self._catalog.load("checkpoints").remove_used()

    def _check_other_images(self) -> None:
        """Look for the images of other data sets before the first step, not when it reads them."""
        named = other_sets(self._parameters["robustness.ood"])
        if named:
            from guided_dml.robustness.other_sets import versions_of

            there = self._catalog.exists("other_images")
            stored = self._catalog.load("other_images") if there else {}
            for name in named:
                versions_of(stored, name)

    def _fits(self, datasets: dict[str, Versioned], version: str) -> bool:
        files = {name: stored_file(dataset, version) for name, dataset in datasets.items()}
        return all(lineage.is_made_with(*file, self._parameters) for file in files.items())

    def _choose(self, datasets: dict[str, Versioned], asked: dict[str, str]) -> None:
        """Pin what one step saved together: to the version asked for, or to the newest whole.

        Of these to the newest that the parameters fit, if one does: a comparison stores data too.
        """
        stored = {name: stored_versions(dataset) for name, dataset in datasets.items()}
        versions = [asked[name] for name in datasets if name in asked]
        versions += sorted(set.intersection(*map(set, stored.values())), reverse=True)
        if not versions:
            missing = sorted(name for name in stored if not stored[name])
            what = ", no ".join(missing) or " with ".join(sorted(stored))
            name = min(missing or stored)
            plain = name in pipelines["__default__"].all_outputs()
            raise InputError(
                f"no {what} is stored for the data set {self._dataset}; first run the pipeline "
                f"{one_of(_makers(name))}" + ", or all of it with a plain kedro run" * plain
            )
        fitting = (v for v in versions if self._fits(datasets, v))
        chosen = versions[0] if asked.keys() & datasets else next(fitting, versions[0])
        for name in sorted(datasets, key=lambda name: name not in asked):
            version = asked.get(name, chosen)
            if version not in stored[name]:
                newest = ", ".join(stored[name][:5]) or "none"
                raise InputError(f"{name} has no version {version}; the newest stored: {newest}")
            _pin(datasets[name], version)


def _pin(dataset: Versioned, version: str) -> None:
    dataset._version = Version(version, dataset.resolve_save_version())


def _saved_together(names: set[str]) -> list[set[str]]:
    """Group datasets by the step that makes them; what no step makes stands alone."""
    steps = {frozenset(node.outputs) for pipeline in pipelines.values() for node in pipeline.nodes}
    made = [names & outputs for outputs in steps if names & outputs]
    return sorted([*made, *({name} for name in names.difference(*made))], key=sorted)


def _makers(name: str) -> list[str]:
    return [
        step
        for step, pipeline in pipelines.items()
        if step != "__default__" and name in pipeline.all_outputs()
    ]
