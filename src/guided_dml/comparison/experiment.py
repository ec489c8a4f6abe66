"""`kedro compare`: every data set, method and seed, each a whole run, and one report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from kedro.runner import SequentialRunner

from guided_dml.comparison.cluster import cluster, each, reason, workers_of
from guided_dml.comparison.plan import Plan, Run, announce, plan_data_set
from guided_dml.comparison.records import RunRecord, finished
from guided_dml.comparison.sessions import Nested, session
from guided_dml.comparison.upload import Uploader
from guided_dml.comparison.worker import compute
from guided_dml.errors import InputError
from guided_dml.progress import progress_bar

if TYPE_CHECKING:
    from distributed import Client

Say = Callable[[str], Any]

#: More are a slip of the keys, and would be planned until the memory is full.
MOST_SEEDS = 10_000


@dataclass
class Outcome:
    """How the runs of a comparison went.

    Attributes:
        uploaders: For each data set, where finished runs are uploaded.
        finished: Runs on the scoreboard, those of earlier commands among them.
        failed: Run and error.
    """

    uploaders: dict[str, Uploader]
    finished: list[Run] = field(default_factory=list)
    failed: list[tuple[Run, str]] = field(default_factory=list)

    def add(self, planned: Run, record: RunRecord) -> None:
        """Count a run that is on the scoreboard, and upload it."""
        self.finished.append(planned)
        self.uploaders[planned.data_set].add(record)


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
) -> Outcome:
    """Run what is not on the scoreboard yet, upload it, and write the report.

    So many ``seeds``, from 0; ``overrides`` are parameters on top of the environments'. Runs are
    computed by :func:`cluster`, ``say`` is told of each that ends. ``refresh`` runs finished ones
    anew that lack a score; ``weights`` keeps the trained networks.

    Raises:
        InputError: Nothing to run, a wrong parameter, missing raw data, no such cluster.
    """
    if not 1 <= seeds <= MOST_SEEDS:
        raise InputError(
            f"--seeds: {seeds} given; at least one is needed, {MOST_SEEDS} at most are planned"
        )
    plans = []
    for data_set in data_sets:
        plans.append(plan_data_set(project, data_set, protocol, methods, seeds, overrides))
        announce(project, plans[-1])
    outcome = _run_missing(project, plans, workers, scheduler, say, refresh, weights)
    for planned, why in outcome.failed:
        say(f"failed: {planned.name}: {why}")
    if outcome.finished:
        _report(project, plans, say)
    return outcome


def _report(project: Path, plans: list[Plan], say: Say) -> None:
    for plan in plans:  # (another comparison may have taken its place in the meantime)
        announce(project, plan)
    tracking = any(plan.tracking for plan in plans)
    with session(project, plans[0].about.data_set, {"tracking": tracking}) as (opened, context):
        made = opened.run(pipeline_names=["reporting"], runner=SequentialRunner())
        report = Path(context.catalog["comparison_markdown"]._get_load_path())
    say(made["scores_text"].load())
    say(f"report: {report.relative_to(project)}")


def _run_missing(
    project: Path,
    plans: list[Plan],
    workers: int | None,
    scheduler: str | None,
    say: Say,
    refresh: bool,
    weights: bool,
) -> Outcome:
    uploaders = {plan.about.data_set: Uploader(project, plan) for plan in plans}
    outcome, missing, lacking = Outcome(uploaders), [], []
    for planned in [run for plan in plans for run in plan.runs]:
        record = finished(project, planned.id)
        if record is None or (refresh and record.lacking):
            missing.append(planned)
            continue
        outcome.add(planned, record)
        if record.lacking:
            lacking.append(f"{planned.name} ({', '.join(record.lacking)})")
    before = len(outcome.finished)
    say(f"{before + len(missing)} runs: {before} finished before, {len(missing)} to do")
    if lacking:
        say(
            f"{len(lacking)} finished runs lack scores that came later: {'; '.join(lacking)}; the "
            "same command with --refresh runs them anew"
        )
    if missing:
        threads = max(planned.parameters["compute"]["threads"] for planned in missing)
        with cluster(workers, scheduler, len(missing), threads) as client:
            _compute(client, project, missing, outcome, say, weights)
    return outcome


def _compute(
    client: Client, project: Path, runs: list[Run], outcome: Outcome, say: Say, weights: bool
) -> None:
    jobs = ((planned, (str(project), planned, True, weights)) for planned in runs)
    begin = monotonic()
    with progress_bar("comparison", len(runs), unit="runs") as bar:
        for ended, (planned, record, error) in enumerate(each(client, compute, jobs), start=1):
            if error is None:
                outcome.add(planned, record)
                result = f"MAP@R {100 * record.scores['map_at_r']:.2f} ({record.seconds:.0f} s)"
            else:
                outcome.failed.append((planned, reason(error)))
                result = f"failed: {reason(error)}"
            bar.update()
            left, failed = len(runs) - ended, len(outcome.failed)
            state = f"{min(left, workers_of(client))} running, {failed} failed"
            to_go = (monotonic() - begin) / ended * left
            with bar.external_write_mode():
                line = f"{ended}/{len(runs)} {planned.name}: {result}"
                say(f"{line}; {state}, {_duration(to_go)} left")


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    return f"{minutes / 60:.1f} h" if minutes > 90 else f"{minutes:.0f} min"
