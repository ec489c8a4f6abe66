"""The commands: `run`, with errors shown plainly, `compare`, `tune`, `mlflow` and `prune`."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click
from kedro.framework.cli.project import run as framework_run
from kedro.framework.project import pipelines
from kedro.io import DatasetError
from kedro.utils import find_kedro_project

from guided_dml.errors import InputError, Interrupted, interrupted, one_of
from guided_dml.methods import METHODS

#: What `kedro run` does in any project.
kedro_run: Any = framework_run.callback

#: Options of the commands that start many runs; the last is the framework's ``--params``.
MANY_RUNS = [
    click.Option(["--epochs"], type=int, help="Of the student and of every baseline."),
    click.Option(["--images-per-class"], type=int, help="Cap, in training and in test."),
    click.Option(["--workers"], type=click.IntRange(min=1), help="Processes on this machine."),
    click.Option(["--scheduler"], help="Address of a running Dask cluster: tcp://host:8786."),
    *(option for option in framework_run.params if option.name == "params"),
]

#: Exit status after Ctrl-C, as shells have it.
INTERRUPTED = 130


@click.group(name="guided_dml")
def cli() -> None:
    """Commands of Guided DML."""


@cli.command(params=framework_run.params, help=framework_run.help)
def run(**options: Any) -> None:
    """Run pipelines like the framework does, but end in one clear message where that is due."""
    with _errors_shown_plainly(), _interruptible():
        _check_names(_project(), options)
        kedro_run(**options)


@cli.command()
@click.option("--envs", required=True, help="Data sets, such as digits,mnist.")
@click.option("--methods", default="all", show_default=True, help="Such as guided,triplet.")
@click.option("--seeds", type=int, default=10, show_default=True, help="How many, from 0.")
@click.option(
    "--protocol", type=click.Choice(["equal", "tuned"]), default="equal", show_default=True
)
@click.option("--refresh", is_flag=True, help="Run those anew that lack a score that came later.")
def compare(
    envs: str,
    methods: str,
    seeds: int,
    protocol: str,
    refresh: bool,
    workers: int | None,
    scheduler: str | None,
    **settings: Any,
) -> None:
    """Run methods over data sets and seeds, and report; run again, it goes on."""
    with _errors_shown_plainly(), _interruptible():
        from guided_dml.comparison.experiment import compare

        project = _project()
        outcome = compare(
            project,
            _chosen(_data_sets(project), envs, "data set"),
            _chosen(list(METHODS), methods, "method"),
            seeds,
            protocol,
            _overrides(**settings),
            workers,
            scheduler,
            say=click.echo,
            refresh=refresh,
        )
        sys.exit(1 if outcome.failed else 0)


@cli.command()
@click.option("--env", required=True, help="The data set.")
@click.option("--method", required=True, help="Such as margin.")
@click.option("--trials", type=int, default=50, show_default=True, help="In all.")
@click.option("--replace", is_flag=True, help="Whatever is stored, even if it is better.")
def tune(
    env: str,
    method: str,
    trials: int,
    replace: bool,
    workers: int | None,
    scheduler: str | None,
    **settings: Any,
) -> None:
    """Find a method's best settings on the validation images; run again, it goes on."""
    with _errors_shown_plainly(), _interruptible():
        from guided_dml.comparison.tune import tune

        project = _project()
        (data_set,) = _chosen(_data_sets(project), env, "data set")
        (name,) = _chosen(list(METHODS), method, "method")
        overrides = _overrides(**settings)
        where = (workers, scheduler)
        tune(project, data_set, name, trials, overrides, *where, click.echo, replace)


for command in (compare, tune):
    command.params += MANY_RUNS


@cli.command()
@click.option("--keep", type=click.IntRange(min=1), required=True, help="Versions to keep of each.")
def prune(keep: int) -> None:
    """Remove all but the newest versions of every stored dataset."""
    from guided_dml.prune import prune_versions

    removed, freed = prune_versions(_project() / "data", keep)
    click.echo(f"removed {removed} versions, freed {freed / 1e6:,.1f} MB, kept the newest {keep}")


@cli.command()
@click.option("--port", default=5000, show_default=True)
def mlflow(port: int) -> None:
    """Show the runs side by side in the browser; what waited to be recorded is uploaded first."""
    with _errors_shown_plainly():
        from guided_dml.mlflow_store import store_uri
        from guided_dml.tracking import upload_pending

        upload_pending(_project())
        store = store_uri(_project())
    if "sqlite" in store:
        del os.environ["MLFLOW_LOGGING_LEVEL"]  # (which keeps the client quiet)
        os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")  # (seven processes)
        page = ["ui", "--backend-store-uri", store, "--port", str(port), "--workers", "1"]
        os.execv(sys.executable, [sys.executable, "-m", "mlflow", *page])  # noqa: S606
    click.echo(f"the runs are recorded at {store}")


def _project() -> Path:
    return find_kedro_project(Path.cwd()) or Path.cwd()


def _data_sets(project: Path) -> list[str]:
    folders = (path.name for path in (project / "conf").iterdir() if path.is_dir())
    return sorted(set(folders) - {"base", "local"})


def _chosen(known: Sequence[str], asked: str, what: str) -> list[str]:
    """Return the names that an option asks for, separated by commas; ``all`` are all."""
    wanted = list(known) if asked == "all" else [name.strip() for name in asked.split(",")]
    for name in wanted:
        if name not in known:
            raise InputError(f"unknown {what} {name!r}; known: {one_of(known)}")
    return list(dict.fromkeys(wanted))


def _overrides(
    epochs: int | None, images_per_class: int | None, params: dict[str, Any]
) -> dict[str, Any]:
    """Return the parameters that the options of a comparison change."""
    from guided_dml.comparison.sessions import merged

    short = {
        "student": {} if epochs is None else {"epochs": epochs},
        "data": {} if images_per_class is None else {"images_per_class": images_per_class},
    }
    return merged(short, params)


def _check_names(project: Path, options: dict[str, Any]) -> None:
    environment, known = options["env"], _data_sets(project)
    if environment and not options["conf_source"] and environment not in [*known, "base", "local"]:
        raise InputError(
            f"unknown data set {environment!r}: there is no conf/{environment}; known: "
            f"{one_of(known)}"
        )
    for name in filter(None, [options["pipeline"], *options["pipelines"]]):
        if name not in pipelines:
            raise InputError(f"unknown pipeline {name!r}; known: {one_of(pipelines)}")


@contextmanager
def _errors_shown_plainly() -> Iterator[None]:
    """Show what the user can mend as one message; a fault of ours keeps its traceback."""
    try:
        yield
    except Exception as error:
        if interrupted(error):
            click.echo("interrupted; finished steps are stored", err=True)
            sys.exit(INTERRUPTED)
        message = _plain(error)
        if message is None:
            raise
        click.secho(f"Error: {message}", fg="red", err=True)
        sys.exit(1)


def _plain(error: BaseException | None) -> str | None:
    """Return the message of the mendable error at the root of ``error``, if there is one."""
    outermost = error
    while error is not None:
        if isinstance(error, InputError):
            return str(error)
        if isinstance(error, OSError) and error.errno is not None:
            where = f"{error.filename}: " if error.filename else ""
            return (
                f"{where}{error.strerror}; the versions stored before are whole, mend this and "
                "run again"
            )
        error = error.__cause__
    return str(outermost) if isinstance(outermost, DatasetError) else None


@contextmanager
def _interruptible() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        if _is_logging(frame):  # (which swallows exceptions: a moment later)
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            return
        raise Interrupted(signal.Signals(number).name)

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
    before = {number: signal.signal(number, stop) for number in signals}
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_logging(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code.co_filename != logging.__file__:
        frame = frame.f_back
    return frame is not None
