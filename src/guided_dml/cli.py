"""The commands: `run`, with errors shown plainly, `compare`, `tune`, `serve`, `mlflow`, `prune`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from kedro.config import MissingConfigException
from kedro.framework.cli.project import run as framework_run
from kedro.framework.cli.utils import KedroCliError
from kedro.io import DatasetError
from kedro.utils import find_kedro_project
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from guided_dml import run_options
from guided_dml.errors import InputError, known
from guided_dml.interruption import end_on_interrupt
from guided_dml.methods import METHODS
from guided_dml.robustness.names import MODULES

#: What `kedro run` does in any project.
kedro_run: Any = framework_run.callback

#: Options of the commands that start many runs; the last is the framework's ``--params``.
MANY_RUNS = [
    click.Option(["--epochs"], type=int, help="Of the student, by every method."),
    click.Option(["--images-per-class"], type=int, help="Cap, in training and in test."),
    click.Option(["--workers"], type=click.IntRange(min=1), help="Processes on this machine."),
    click.Option(["--scheduler"], help="Address of a running Dask cluster: tcp://host:8786."),
    *(option for option in framework_run.params if option.name == "params"),
]

#: What a broken configuration file or value ends in.
BROKEN = (YAMLError, OmegaConfBaseException, MissingConfigException, UnicodeDecodeError)


class Command(click.Command):
    """A command that ends on Ctrl-C, or in one clear message where that is due."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options; the framework's readers of some fail in many ways."""
        try:
            return super().parse_args(ctx, args)
        except KedroCliError as error:
            raise click.UsageError(error.message, ctx) from error
        except (click.ClickException, click.exceptions.Exit):
            raise
        except Exception as error:
            raise click.UsageError(f"cannot read the options: {error}", ctx) from error

    def invoke(self, ctx: click.Context) -> Any:
        """Run, and show what the user can mend; a fault of ours keeps its traceback."""
        end_on_interrupt()
        try:
            return super().invoke(ctx)
        except Exception as error:
            message = _plain(error)
            if message is None:
                raise
            click.secho(f"Error: {message}", fg="red", err=True)
            sys.exit(1)


@click.group(name="guided_dml")
def cli() -> None:
    """Commands of Guided DML."""


cli.command_class = Command


@cli.command(params=framework_run.params, help=framework_run.help)
def run(**options: Any) -> None:
    """Run pipelines like the framework does, but check all names first."""
    source = click.get_current_context().get_parameter_source
    for name, value in options.items():  # (",": all steps would run)
        if value == [] and source(name) is ParameterSource.COMMANDLINE:
            raise InputError(f"--{name.replace('_', '-')} is given, but names nothing")
    run_options.check(_project(), options)
    kedro_run(**options)


@cli.command()
@click.option("--envs", required=True, help="Data sets, such as digits,mnist.")
@click.option("--methods", default="all", show_default=True, help="Such as guided,triplet.")
@click.option("--seeds", type=int, default=10, show_default=True, help="How many, from 0.")
@click.option(
    "--protocol", type=click.Choice(["equal", "tuned"]), default="equal", show_default=True
)
@click.option("--refresh", is_flag=True, help="Run those anew that lack a score or a network.")
@click.option("--weights/--no-weights", default=True, help="Keep the trained networks, or not.")
@click.option("--robustness", help="Such as corruptions,ood; all. Default: none.")
@click.option("--class-splits", help="Train on these only: 245983,326940; a+b,a+c.")
def compare(
    envs: str, methods: str, robustness: str | None, class_splits: str | None, **options: Any
) -> None:
    """Run methods over data sets and seeds, and report; run again, it goes on."""
    from guided_dml.comparison.experiment import compare

    project = _project()
    options["robustness"] = _modules(robustness)
    options["class_splits"] = _listed("--class-splits", class_splits, "245983,326940")
    data_sets = _chosen(run_options.data_sets(project / "conf"), envs, "data set")
    chosen = _chosen(list(METHODS), methods, "method")
    outcome = compare(project, data_sets, chosen, say=click.echo, **_passed_on(**options))
    sys.exit(1 if outcome.failed else 0)


@cli.command()
@click.option("--env", required=True, help="The data set.")
@click.option("--method", required=True, help="Such as margin.")
@click.option("--trials", type=int, default=50, show_default=True, help="In all.")
@click.option("--replace", is_flag=True, help="Whatever is stored, even if it is better.")
def tune(env: str, method: str, **options: Any) -> None:
    """Find a method's best settings on the validation images; run again, it goes on."""
    from guided_dml.comparison.tune import tune

    project = _project()
    known("data set", [env], run_options.data_sets(project / "conf"))
    known("method", [method], METHODS)
    tune(project, env, method, say=click.echo, **_passed_on(**options))


for command in (compare, tune):
    command.params += MANY_RUNS


@cli.command()
@click.option("--keep", type=click.IntRange(min=1), required=True, help="Versions to keep of each.")
def prune(keep: int) -> None:
    """Remove all but the newest versions of every stored dataset."""
    from guided_dml.prune import prune_versions
    from guided_dml.tracking import refuse_runs_under_way, upload_pending

    refuse_runs_under_way(_project())
    upload_pending(_project())
    pruned = prune_versions(_project() / "data", keep)
    freed = f"{pruned.freed / 1e6:,.1f} MB"
    click.echo(f"removed {pruned.removed} versions, freed {freed}, kept the newest {keep}")
    if pruned.failed:
        raise InputError("\n  ".join(["could not be removed:", *pruned.failed]))


@cli.command()
@click.argument("method")
@click.option("--env", default="digits", show_default=True, help="The data set.")
@click.option(
    "--alias", default="champion", show_default=True, help="What it is called from now on."
)
@click.option("--version", type=click.IntRange(min=1), help="Of the registered model; the newest.")
def promote(method: str, env: str, alias: str, version: int | None) -> None:
    """Let an alias stand for an exported model, in MLflow's registry."""
    from mlflow.exceptions import MlflowException

    from guided_dml.comparison.sessions import session
    from guided_dml.mlflow_store import open_client, reason
    from guided_dml.registry import promote
    from guided_dml.tracking import upload_pending

    project = _project()
    known("method", [method], METHODS)
    known("data set", [env], run_options.data_sets(project / "conf"))
    upload_pending(project)  # (else the newest export may be one that still waits)
    with session(project, env, {}) as (_, context):
        name = f"{method}-{context.config_loader['globals']['dataset']}"
    try:
        number = promote(open_client(project), name, alias, version)
    except MlflowException as error:
        raise InputError(f"MLflow did not promote {name}: {reason(error)}") from error
    click.echo(f"{name}: {alias} is version {number} now (models:/{name}@{alias})")


@cli.command()
@click.option("--env", default="digits", show_default=True, help="The data set.")
@click.option("--method", default="guided", show_default=True, help="Who trained the network.")
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True)
@click.option("--alias", help="Of MLflow's registry, such as champion; else the newest export.")
@click.option("--threads", type=click.IntRange(min=1), help="Answers at once; as many as cores.")
def serve(env: str, method: str, **options: Any) -> None:
    """Show in the browser, and tell programs, what an export says of images."""
    from guided_dml.serving.server import serve

    project = _project()
    known("data set", [env], run_options.data_sets(project / "conf"))
    known("method", [method], METHODS)
    serve(project, env, method, say=click.echo, **options)


@cli.command()
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True)
def mlflow(port: int) -> None:
    """Show the runs side by side in the browser; what waited to be recorded is uploaded first."""
    from guided_dml.mlflow_store import SETTINGS, store_uri
    from guided_dml.tracking import upload_pending

    upload_pending(_project())
    store = store_uri(_project())
    if store.startswith("sqlite"):
        if os.environ["MLFLOW_LOGGING_LEVEL"] == SETTINGS["MLFLOW_LOGGING_LEVEL"]:
            del os.environ["MLFLOW_LOGGING_LEVEL"]  # (which keeps the client quiet)
        os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")  # (seven processes)
        click.echo("in the page, choose Model training (top left), then the data set")
        page = ["ui", "--backend-store-uri", store, "--port", str(port), "--workers", "1"]
        os.execv(sys.executable, [sys.executable, "-m", "mlflow", *page])  # noqa: S606
    click.echo(f"the runs are recorded at {store}")


def _project() -> Path:
    return find_kedro_project(Path.cwd()) or Path.cwd()


def _chosen(names: Sequence[str], asked: str, what: str) -> list[str]:
    """Return the names that an option asks for, separated by commas; ``all`` are all."""
    wanted = list(dict.fromkeys(name.strip() for name in asked.split(",")))
    known(what, wanted, [*names, "all"])
    return list(names) if "all" in wanted else wanted


def _listed(option: str, asked: str | None, example: str) -> list[str]:
    """Return the names that an option lists, none where it is not given."""
    names = [name.strip() for name in (asked or "").split(",") if name.strip()]
    if asked is not None and not names:
        raise InputError(f"{option} is given, but names nothing; write it like {option} {example}")
    return names


def _modules(asked: str | None) -> list[str]:
    """Return the modules of robustness that are asked for."""
    names = _listed("--robustness", asked, "corruptions,ood (or all)")
    if "unseen" in names:
        raise InputError(
            "--robustness: unseen classes are measured by --class-splits, which trains on some "
            "of the classes, like --class-splits 245983,326940"
        )
    modules = [name for name in MODULES if name != "unseen"]
    return _chosen(modules, ",".join(names), "module of --robustness") if names else []


def _passed_on(
    epochs: int | None, images_per_class: int | None, params: dict[str, Any], **others: Any
) -> dict[str, Any]:
    """Return the options of many runs with those that stand for parameters as ``overrides``."""
    from guided_dml.comparison.sessions import merged

    short = {}
    for option, value, block, name in (
        ("--epochs", epochs, "student", "epochs"),
        ("--images-per-class", images_per_class, "data", "images_per_class"),
    ):
        if value is not None:
            short[block] = {name: value}
            if isinstance(given := params.get(block), dict) and name in given:
                raise InputError(
                    f"{option} and --params {block}.{name} are given; leave one of them out"
                )
    return others | {"overrides": merged(short, params)}


def _plain(error: BaseException | None) -> str | None:
    """Return the message of the mendable error at the root of ``error``, if there is one."""
    outermost = error
    while error is not None:
        if isinstance(error, InputError):
            return str(error)
        if isinstance(error, OSError) and error.errno is not None:
            where = f"{error.filename}: " if error.filename else ""
            before = "the versions stored before are whole"
            return f"{where}{error.strerror}; {before}, mend this and run again"
        if isinstance(error, KedroCliError):
            return error.message
        if isinstance(error, BROKEN):
            return f"the configuration cannot be read: {error}"
        error = error.__cause__
    return str(outermost) if isinstance(outermost, DatasetError) else None
