"""`kedro compare`: every data set, method and seed, each a whole run, and one report."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from kedro.runner import SequentialRunner

from guided_dml.comparison.class_splits import class_splits_of
from guided_dml.comparison.cluster import cluster, each, reason, workers_of
from guided_dml.comparison.measurements import (
    PIXELS,
    Measured,
    dataset_of,
    pixels_place,
    stored_modules,
)
from guided_dml.comparison.measuring import Measurement, measure, measurements
from guided_dml.comparison.plan import Plan, PlannedRun, announce, plan_data_set, prepare
from guided_dml.comparison.records import RunRecord, finished
from guided_dml.comparison.sessions import Nested, merged, session
from guided_dml.comparison.upload import Uploader
from guided_dml.comparison.worker import compute, has_damaged_files, has_network
from guided_dml.errors import InputError, counted
from guided_dml.metrics.names import CONVERGED
from guided_dml.parameters import validated
from guided_dml.progress import progress_bar
from guided_dml.robustness.protocol import check_protocol

if TYPE_CHECKING:
    from distributed import Client

Say = Callable[[str], Any]
_Job = TypeVar("_Job", PlannedRun, Measurement)

#: More are a slip of the keys, and would be planned until the memory is full.
MOST_SEEDS = 10_000


class How(NamedTuple):
    """How a comparison is made; :func:`compare` explains."""

    workers: int | None
    scheduler: str | None
    refresh: bool
    weights: bool
    modules: Sequence[str]


@dataclass
class Progress:
    """How the runs of a comparison went.

    Attributes:
        project: The project's folder.
        plans: Of the comparison, by their places.
        uploaders: Where finished runs are uploaded, likewise.
        finished: Runs on the scoreboard, those of earlier commands among them.
        failed: What could not be computed or measured, and its error.
    """

    project: Path
    plans: dict[str, Plan]
    uploaders: dict[str, Uploader]
    finished: list[PlannedRun] = field(default_factory=list)
    failed: list[tuple[PlannedRun | Measurement, str]] = field(default_factory=list)

    def add(self, planned: PlannedRun, record: RunRecord) -> str:
        """Count a run that is on the scoreboard, upload it, and return how it went."""
        self.finished.append(planned)
        self.upload(planned, record)
        text = f"MAP@R {100 * record.scores.get('map_at_r', math.nan):.2f} ({record.seconds:.0f} s)"
        ratio = record.teacher.get("centre_ratio", CONVERGED)
        return text + f", GEMINI has not converged: ratio {ratio:.2f}" * (ratio < CONVERGED)

    def upload(self, planned: PlannedRun, record: RunRecord) -> None:
        """Upload the scores of a run, and what was measured of it."""
        plan = self.plans[planned.place]
        modules, pixels = (
            stored_modules(self.project, place, plan.about.robustness)
            for place in (planned.id, pixels_place(plan.about))
        )
        beside = {dataset_of(PIXELS, module): found for module, found in pixels.items()}
        self.uploaders[plan.about.id].add(record, modules | beside)

    def add_measured(self, job: Measurement, records: list[Measured]) -> str:
        """Upload what was measured, and return how long it took."""
        record = None if job.of_pixels else finished(self.project, job.run.id)
        if record:
            self.upload(job.run, record)
        return f"measured ({records[-1].seconds:.0f} s)"


def compare(
    project: Path,
    data_sets: list[str],
    methods: list[str],
    seeds: int,
    protocol: str,
    overrides: Nested,
    workers: int | None,
    scheduler: str | None,
    say: Say,
    refresh: bool = False,
    weights: bool = True,
    robustness: Sequence[str] = (),
    class_splits: Sequence[str] = (),
) -> Progress:
    """Run what is not on the scoreboard yet, upload it, and write the report.

    So many ``seeds``, from 0; ``overrides`` are parameters on top of the environments'. Runs are
    computed by :func:`cluster`, ``say`` is told of each that ends. ``refresh`` runs finished ones
    anew that lack a score; ``weights`` keeps the trained networks, of which the modules named in
    ``robustness`` are measured. With ``class_splits`` the trainings are on those classes only, and
    what is measured is how they do on the others.

    Raises:
        InputError: Nothing to run, a wrong parameter, missing raw data, no such cluster.
    """
    if class_splits and robustness:
        raise InputError(
            "--class-splits measures how networks do on classes that they were not trained on, "
            "and nothing else; give --robustness in a command of its own"
        )
    modules = ["unseen"] if class_splits else robustness
    _check_options(seeds, overrides, bool(modules), weights)
    if modules:
        _check_protocols(project, data_sets, overrides)
    sets = [
        (data_set, merged(overrides, chosen))
        for data_set in data_sets
        for chosen in class_splits_of(project, data_set, class_splits, overrides)
    ]
    # (first all of them: one may be measured on the images of the others)
    for data_set, parameters in sets if len(sets) > 1 else ():
        prepare(project, data_set, merged(parameters, {"tracking": False}))
    plans = [
        plan_data_set(project, data_set, protocol, methods, seeds, parameters, modules)
        for data_set, parameters in sets
    ]
    with session(project, data_sets[0], overrides) as (_, context):
        announce(context.catalog, plans)
    how = How(workers, scheduler, refresh, weights, modules)
    progress = _run_missing(project, plans, how, say)
    for job, why in progress.failed:
        say(f"failed: {job.name}: {why}")
    if progress.finished:
        _report(project, plans, overrides, say)
    return progress


def _check_options(seeds: int, overrides: Nested, measures: bool, weights: bool) -> None:
    if not 1 <= seeds <= MOST_SEEDS:
        raise InputError(
            f"--seeds: {seeds} given; at least one is needed, {MOST_SEEDS} at most are planned"
        )
    if "seed" in overrides:
        raise InputError("--params seed: kedro compare runs seeds from 0 on; --seeds is how many")
    if measures and not weights:
        raise InputError("--no-weights: the networks are needed to measure their robustness")


def _check_protocols(project: Path, data_sets: list[str], overrides: Nested) -> None:
    """Refuse to measure robustness by a protocol that hides it, before anything is prepared."""
    for data_set in data_sets:
        with session(project, data_set, overrides) as (_, context):
            check_protocol(validated(context.config_loader["parameters"]).evaluation)


def _report(project: Path, plans: list[Plan], overrides: Nested, say: Say) -> None:
    own = merged(overrides, {"tracking": any(plan.tracking for plan in plans)})
    with session(project, plans[0].about.data_set, own) as (opened, context):
        # (another comparison may have taken its place in the meantime)
        announce(context.catalog, plans)
        made = opened.run(pipeline_names=["reporting"], runner=SequentialRunner())
        report = Path(context.catalog["comparison_markdown"]._get_load_path())
    say(made["scores_text"].load())
    say(f"report: {report.relative_to(project)}")


def _run_missing(project: Path, plans: list[Plan], how: How, say: Say) -> Progress:
    uploaders = {plan.about.id: Uploader(project, plan) for plan in plans}
    progress = Progress(project, {plan.about.id: plan for plan in plans}, uploaders)
    missing = _missing(progress, how, say)
    to_measure = sum(len(_jobs(progress, missing, how, pixels)) for pixels in (True, False))
    if missing or to_measure:
        runs = [*missing, *progress.finished]
        threads = max(planned.parameters["compute"]["threads"] for planned in runs)
        most = max(len(missing), to_measure)
        with cluster(how.workers, how.scheduler, most, threads) as client:
            train = partial(compute, str(project), weights=how.weights)
            _work_off(client, train, missing, progress, progress.add, say)
            for pixels in (True, False):
                jobs = _jobs(progress, [], how, pixels)
                if not pixels:  # (where raw pixels could not be measured, that was told)
                    jobs = [job.beside_pixels() for job in jobs]
                jobs = [job for job in jobs if job.modules]
                work = partial(measure, str(project))
                _work_off(client, work, jobs, progress, progress.add_measured, say)
    return progress


def _missing(progress: Progress, how: How, say: Say) -> list[PlannedRun]:
    """Return the runs that have to be computed, and count those that have not."""
    missing, lacking, without, damaged = [], [], [], []
    for planned in [run for plan in progress.plans.values() for run in plan.runs]:
        record = finished(progress.project, planned.id)
        keys = progress.plans[planned.place].about.robustness
        asked = {module: keys[module] for module in how.modules}
        known = stored_modules(progress.project, planned.id, asked)
        bare = len(known) < len(how.modules) and not has_network(progress.project, planned)
        broken = has_damaged_files(progress.project, planned)
        if record is None or (how.refresh and (record.lacking or bare or broken)):
            missing.append(planned)
            continue
        progress.add(planned, record)
        if record.lacking:
            lacking.append(f"{planned.name} ({', '.join(record.lacking)})")
        if bare:
            without.append(planned.name)
            why = "no whole network is stored to be measured; --refresh trains it anew"
            progress.failed.append((planned, why))
        elif broken:
            damaged.append(planned.name)
    before = len(progress.finished)
    every = counted(before + len(missing), "run")
    say(f"{every}: {before} finished before, {len(missing)} to do")
    for what, names in {
        "without scores that came later": lacking,
        "without a whole network to be measured": without,
        "with damaged files of their networks or embeddings": damaged,
    }.items():
        if names:
            runs = counted(len(names), "finished run")
            say(f"{runs} {what}: {'; '.join(names)}; --refresh runs them anew")
    return missing


def _jobs(
    progress: Progress, missing: list[PlannedRun], how: How, pixels: bool
) -> list[Measurement]:
    """Return what is to be measured, of raw pixels or of runs, those still missing included."""
    jobs: list[Measurement] = []
    for place, plan in progress.plans.items():
        runs = [run for run in [*progress.finished, *missing] if run.place == place]
        if not pixels:
            runs = [run for run in runs if run in missing or has_network(progress.project, run)]
        jobs += measurements(progress.project, plan.about, runs, how.modules, pixels)
    return jobs


def _work_off(
    client: Client,
    work: Callable[[_Job], Any],
    jobs: list[_Job],
    progress: Progress,
    ended_well: Callable[[_Job, Any], str],
    say: Say,
) -> None:
    """Do the jobs on the cluster, and say how each went."""
    if not jobs:
        return
    sent = ((job, (job,)) for job in jobs)
    shared = [plan.about.parameters for plan in progress.plans.values()]
    on_gpu = any(parameters.compute.device == "cuda" for parameters in shared)
    begin = monotonic()
    with progress_bar("comparison", len(jobs), unit="runs") as bar:
        for ended, (job, result, error) in enumerate(each(client, work, sent, on_gpu), start=1):
            if error is None:
                text = ended_well(job, result)
            else:
                progress.failed.append((job, reason(error)))
                text = f"failed: {reason(error)}"
            bar.update()
            left, failed = len(jobs) - ended, len(progress.failed)
            state = f"{min(left, workers_of(client, on_gpu))} running, {failed} failed"
            to_go = (monotonic() - begin) / ended * left
            with bar.external_write_mode():
                line = f"{ended}/{len(jobs)} {job.name}: {text}"
                say(f"{line}; {state}, {_duration(to_go)} left")


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    return f"{minutes / 60:.1f} h" if minutes > 90 else f"{minutes:.0f} min"
