"""Measuring the robustness of trained networks, on whatever machine the work is sent to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from kedro.io import MemoryDataset

from guided_dml.comparison.measurements import (
    PIXELS,
    Measured,
    dataset_of,
    module_keys,
    pixels_place,
    steps_of,
    stored_modules,
)
from guided_dml.comparison.plan import PlannedRun, pin
from guided_dml.comparison.records import About, GitState
from guided_dml.comparison.sessions import InMemoryRunner, session
from guided_dml.comparison.worker import NETWORK, alone, quiet
from guided_dml.errors import InputError
from guided_dml.inference.card import Card
from guided_dml.parameters import validated
from guided_dml.provenance import git_state, library_versions

#: What is told of the images that were made for a module.
REPORTS = {"corruptions": ["corruption_report", "domain_report"], "ood": ["ood_report"]}


class Measurement(NamedTuple):
    """Modules to be measured of one run, or of raw pixels under the run's parameters.

    Attributes:
        place: Where the records are stored.
        modules: Their keys by their names.
        pixels: The scores of raw pixels that they are set beside, by module.
    """

    run: PlannedRun
    place: str
    of_pixels: bool
    modules: dict[str, str]
    pixels: dict[str, dict[str, float]] = {}  # noqa: RUF012 (never changed)

    def beside_pixels(self) -> Measurement:
        """Return it without the modules that are not measured of raw pixels."""
        known = {name: key for name, key in self.modules.items() if name in self.pixels}
        return self._replace(modules=known)

    @property
    def method(self) -> str:
        """The namespace of what is measured."""
        return PIXELS if self.of_pixels else self.run.method

    @property
    def name(self) -> str:
        """What a person is told of it."""
        whose = f"{self.run.of} raw pixels" if self.of_pixels else self.run.name
        return f"{whose}: {', '.join(self.modules)}"


def measurements(
    project: Path, about: About, runs: list[PlannedRun], modules: Sequence[str], pixels: bool
) -> list[Measurement]:
    """Return what is not measured yet of runs of a comparison, or of its raw pixels."""
    keys = {module: about.robustness[module] for module in modules}
    of_pixels = {
        module: record.scores
        for module, record in stored_modules(project, pixels_place(about), keys).items()
    }
    jobs = []
    for run in runs[:1] if pixels else runs:
        place = pixels_place(about) if pixels else run.id
        known = stored_modules(project, place, keys)
        left = {module: key for module, key in keys.items() if module not in known}
        if left:
            jobs.append(Measurement(run, place, pixels, left, of_pixels))
    return jobs


def measure(project: str, job: Measurement) -> list[Measured]:
    """Measure, and store what comes out.

    Args:
        project: The project's folder.
        job: What to measure.

    Raises:
        InputError: There are too few images for a module, or other data than it needs.
    """
    from guided_dml.training.policy import Policy, on_threads

    git = git_state(Path(project))
    with alone, session(Path(project), job.run.data_set, job.run.parameters) as (_, context):
        quiet()
        catalog = context.catalog
        pin(catalog, job.run.version)
        parameters = validated(context.config_loader["parameters"])
        keys = module_keys(catalog, parameters, job.run.data_version, [*job.modules])
        if not job.modules.items() <= keys.items():
            raise InputError(f"{project} is configured differently here than where it was planned")
        given = _network(catalog, job) if not job.of_pixels else {}
        given |= {dataset_of(PIXELS, module): scores for module, scores in job.pixels.items()}
        for name, value in given.items():
            catalog[name] = MemoryDataset(value, copy_mode="assign")
        steps = steps_of(job.method, job.modules, without=() if job.of_pixels else (PIXELS,))
        runner, begin = InMemoryRunner(), perf_counter()
        with on_threads(Policy.of(parameters.compute).threads):
            runner.run(steps, catalog)
        records = [
            Measured(
                place=job.place,
                module=module,
                key=key,
                scores=runner.results[dataset_of(job.method, module)].load(),
                seconds=round(perf_counter() - begin, 2),
                images=_hashes(runner.results, module),
                libraries=library_versions(),
                git=GitState.model_validate(git),
                finished=datetime.now(UTC).isoformat(timespec="seconds"),
            )
            for module, key in job.modules.items()
        ]
        catalog.save("scoreboard", {one.id: one.model_dump() for one in records})
    return records


def _hashes(results: dict[str, Any], module: str) -> dict[str, str]:
    """Return the hashes of the sets that were made for a module."""
    return {
        name: told["sha256"]
        for report in REPORTS.get(module, [])
        if report in results
        for name, told in results[report].load().items()
        if isinstance(told, dict)
    }


def _network(catalog: Any, job: Measurement) -> dict[str, Any]:
    """Return what a run left: its network, card and embeddings."""
    run, method = job.run, job.run.method
    tensors = catalog.load("scoreboard_weights")
    places = {name: f"{run.id}/{name}" for name in NETWORK}
    found = {f"{method}.{name}": tensors[at]() for name, at in places.items() if at in tensors}
    card = Card.of(catalog.load("scoreboard_cards")[run.id](), f"the card of {run.name}")
    embeddings = catalog.load("scoreboard_embeddings")[run.id]()
    return found | {f"{method}.card": card, f"{method}.query_embeddings": embeddings}
