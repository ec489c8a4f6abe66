"""The project's commands: `kedro run`, with errors shown plainly, and `kedro prune`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click
from kedro.framework.cli.project import run as framework_run
from kedro.framework.project import pipelines
from kedro.io import DatasetError
from kedro.utils import find_kedro_project

from guided_dml.errors import InputError, Interrupted, interrupted, one_of

#: What `kedro run` does in any project.
kedro_run: Any = framework_run.callback

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
@click.option("--keep", type=click.IntRange(min=1), required=True, help="Versions to keep of each.")
def prune(keep: int) -> None:
    """Remove all but the newest versions of every stored dataset."""
    from guided_dml.prune import prune_versions

    removed, freed = prune_versions(_project() / "data", keep)
    click.echo(f"removed {removed} versions, freed {freed / 1e6:,.1f} MB, kept the newest {keep}")


def _project() -> Path:
    return find_kedro_project(Path.cwd()) or Path.cwd()


def _check_names(project: Path, options: dict[str, Any]) -> None:
    environment = options["env"]
    known = [path.name for path in (project / "conf").iterdir() if path.is_dir()]
    if environment and not options["conf_source"] and environment not in known:
        raise InputError(
            f"unknown data set {environment!r}: there is no conf/{environment}; known: "
            f"{one_of(set(known) - {'base', 'local'})}"
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
    def stop(number: int, _: FrameType | None) -> NoReturn:
        raise Interrupted(signal.Signals(number).name)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
