"""What several tests share: small images, the project's parameters, a copy of the project."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any
from unittest.mock import patch

import matplotlib as mpl
import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result
from kedro.framework.project import configure_project
from kedro.framework.session import KedroSession
from kedro.runner import SequentialRunner

from guided_dml.cli import cli
from guided_dml.comparison.records import warn
from guided_dml.databases import sqlite_url
from guided_dml.mlflow_store import store_uri
from guided_dml.parameters import Parameters, validated
from guided_dml.types import LabelledImages

pytest_plugins = ["devices", "exported"]

mpl.use("Agg")
os.environ["KEDRO_DISABLE_TELEMETRY"] = "1"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ.pop("MLFLOW_TRACKING_URI", None)  # (no test writes to a server of the developer's)

# (once: each time costs most of a second, and all projects of the tests share the package)
configure_project("guided_dml")

PROJECT = Path(__file__).resolve().parents[1]

#: A whole run in about two seconds.
SMALL: dict[str, Any] = {
    "data": {"images_per_class": 10},
    "gemini": {"epochs": 2},
    "student": {"epochs": 2, "backbone": "small_cnn", "batch_size": 32},
    "compute": {"device": "cpu"},
}


def run(project: Path, *pipelines: str, **options: Any) -> str:
    """Run pipelines (all by default) and return the version that the session saved."""
    parameters = SMALL | options.pop("params", {})
    env = options.pop("env", None)
    session: Any
    with KedroSession.create(project, env=env, runtime_params=parameters) as session:
        session.run(pipeline_names=list(pipelines) or None, runner=SequentialRunner(), **options)
        return str(session.session_id)


def base_parameters() -> dict[str, Any]:
    """Return the parameters of conf/base, as a nested dictionary."""
    raw: dict[str, Any] = yaml.safe_load((PROJECT / "conf/base/parameters.yml").read_text())
    return raw


def kedro(project: Path, *arguments: str) -> Result:
    """Give a command in the project, in this process."""
    with chdir(project):
        return CliRunner().invoke(cli, list(arguments))


def refusal(project: Path, *arguments: str) -> str:
    """Return the message of a command that refuses; it is all that the command says on stderr."""
    result = kedro(project, *arguments)
    assert isinstance(result.exception, SystemExit), result.exception  # (an error that it caught)
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("Error: "), result.stderr
    return result.stderr


@pytest.fixture
def raw_parameters() -> dict[str, Any]:
    """The parameters of conf/base, as a nested dictionary."""
    return base_parameters()


@pytest.fixture
def parameters(raw_parameters: dict[str, Any]) -> Parameters:
    """The parameters of conf/base."""
    return validated(raw_parameters)


@pytest.fixture(scope="session")
def make_images() -> Callable[..., LabelledImages]:
    """A maker of images whose classes differ in brightness."""

    def make(
        per_class: int = 12, classes: int = 3, shape: tuple[int, int, int] = (1, 8, 8)
    ) -> LabelledImages:
        rng = np.random.default_rng(0)
        labels = np.repeat(np.arange(classes), per_class)
        noise = rng.integers(0, 60, (len(labels), *shape))
        images = (noise + 60 * labels[:, None, None, None] % 196).astype(np.uint8)
        names = [f"{i}.png" for i in range(len(labels))]
        return LabelledImages(images, labels, [f"class {i}" for i in range(classes)], names)

    return make


def tracked_runs(project: Path) -> tuple[Any, list[Any]]:
    """Return an MLflow client and the digits' runs in it, the newest first."""
    from mlflow import MlflowClient

    client = MlflowClient(sqlite_url(project / "mlruns" / "mlflow.db"))
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    return client, list(client.search_runs([experiment.experiment_id]))


@pytest.fixture(scope="session")
def scheduler() -> Iterator[str]:
    """The address of a running Dask cluster; its one worker imports everything once."""
    from distributed import LocalCluster

    with patch.dict(os.environ):  # (Dask sets its workers' variables in this process as well)
        cluster = LocalCluster(
            n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=50
        )
    with cluster:
        yield cluster.scheduler_address


def copy_of_project(place: Path) -> Path:
    """Return a folder with the project's configuration, nothing tuned, and no data."""
    shutil.copytree(PROJECT / "conf", place / "conf", ignore=shutil.ignore_patterns("tuned"))
    shutil.copy(PROJECT / "pyproject.toml", place)
    for folder in ("src", "data"):  # (the package itself is installed)
        (place / folder).mkdir()
    return place


def checkpoint_every_epoch(project: Path) -> None:
    """Let trainings of a copied project leave a checkpoint at the end of every epoch."""
    catalog, kind = (
        project / "conf" / "base" / "catalog.yml",
        "checkpoint_folder.CheckpointsDataset",
    )
    catalog.write_text(catalog.read_text().replace(kind, f"{kind}\n  interval: 0"))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project's configuration in a folder of its own, which is the working directory."""
    place = copy_of_project(tmp_path / "project")
    monkeypatch.chdir(place)
    # (a command would end the process of the tests)
    monkeypatch.setattr("guided_dml.cli.end_on_interrupt", lambda: None)
    monkeypatch.setattr("guided_dml.serving.server.end_at_once", lambda: None)
    return place


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database of MLflow (to make one takes seconds)."""
    place = tmp_path_factory.mktemp("database")
    store_uri(place)
    return place / "mlruns" / "mlflow.db"


@pytest.fixture
def tracked(project: Path, database: Path) -> Path:
    """The project, with MLflow's database made before."""
    (project / "mlruns").mkdir()
    shutil.copy(database, project / "mlruns")
    return project


@pytest.fixture
def warned() -> Iterator[list[str]]:
    """What the package warns of, each warning once however logging is set up."""
    messages: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    warn.cache_clear()  # (damaged files are told once a process)
    handler, logger = Collector(logging.WARNING), logging.getLogger("guided_dml")
    logger.addHandler(handler)
    yield messages
    logger.removeHandler(handler)
