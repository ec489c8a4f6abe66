"""Where runs are recorded, through MLflow's client and without its global state."""

from __future__ import annotations

import getpass
import json
import os
import re
import socket
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any, NamedTuple

from guided_dml.databases import alive, sqlite_url
from guided_dml.errors import InputError
from guided_dml.parameters import flat

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

#: For MLflow, where the environment says nothing else: it tells us of trouble by raising, once,
#: and a server that does not answer is given up instead of asked for minutes.
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}

#: Lets MLflow's pages show runs with parameters and scores instead of prompts, where their own
#: switch (*GenAI* or *Model training*) does not decide that.
KIND = {"mlflow.experimentKind": "custom_model_development"}

#: Seconds to wait for a database that another process has locked.
PATIENCE = 5.0

#: What the longest values are cut to, and how many MLflow takes at once.
LONGEST_PARAMETER, LONGEST_TAG, LONGEST_NAME, AT_ONCE = 6000, 5000, 250, 100

#: In the database: where the artifacts are, absolute.
PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


class Experiment(NamedTuple):
    """MLflow's runs of one data set."""

    project: Path
    client: MlflowClient
    id: str

    def find(self, key: dict[str, str]) -> Run | None:
        """Return the run with a tag that no other run has, if there is one."""
        ((tag, value),) = key.items()
        found = self.client.search_runs([self.id], f'tags.{tag} = "{value}"', max_results=1)
        return found[0] if found else None


class TrackedRun:
    """A run in MLflow's store; to record the same again changes nothing."""

    def __init__(
        self,
        experiment: Experiment,
        key: dict[str, str],
        name: str,
        tags: dict[str, str],
        parameters: dict[str, Any],
        now: int | None = None,
    ) -> None:
        """Open the run, or go on with it.

        Args:
            experiment: Where it belongs.
            key: A tag that no other run has.
            name: What it is called.
            tags: Besides.
            parameters: Nested; logged under their full names (``student.epochs``).
            now: When it begins, in ms since 1970.
        """
        from mlflow.entities import Param, RunTag

        self._project, self._client, self._experiment = experiment
        tags = key | {"host": socket.gethostname(), "process": str(os.getpid())} | tags
        tags = {name: value[:LONGEST_TAG] for name, value in tags.items()}
        run = experiment.find(key) or self._client.create_run(experiment.id, now, tags, name)
        self.id: str = run.info.run_id
        known, every = run.data.params, flat(parameters)
        named = [Param(n, str(value)[:LONGEST_PARAMETER]) for n, value in every if n not in known]
        self._client.log_batch(self.id, tags=[RunTag(*tag) for tag in tags.items()])
        for start in range(0, len(named), AT_ONCE):
            self._client.log_batch(self.id, params=named[start : start + AT_ONCE])

    def log_metrics(
        self, rows: list[dict[str, Any]], prefix: str = "", first: int = 0, now: int | None = None
    ) -> None:
        """Log every number, as a curve where there are several rows.

        Args:
            rows: The steps; values may be nested.
            prefix: Comes before the names.
            first: The number of the first step.
            now: When they were made, in ms since 1970.
        """
        from mlflow.entities import Metric

        now = now or int(1000 * time())
        metrics = [
            Metric(metric_name(name), float(value), now, step)
            for step, row in enumerate(rows, start=first)
            for name, value in flat(row, prefix)
            if isinstance(value, int | float) and name != f"{prefix}epoch"
        ]
        for start in range(0, len(metrics), AT_ONCE):
            self._client.log_batch(self.id, metrics=metrics[start : start + AT_ONCE])

    def log_data(self, name: str, digest: str, **_: Any) -> None:
        """Name the data set that the run reads."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(name, digest[:12], source_type="local", source=json.dumps({"uri": name}))
        training = InputTag("mlflow.data.context", "training")
        self._client.log_inputs(self.id, [DatasetInput(dataset, [training])])

    def log_file(self, path: str, folder: str | None, **_: Any) -> None:
        """Copy a stored file of the project into the run, unless it was removed meanwhile."""
        file = self._project / path
        if file.exists():
            self._client.log_artifact(self.id, str(file), folder)

    def log_model(self, name: str, export: str, files: dict[str, str], **_: Any) -> None:
        """Log and register an export, from stored files of the project."""
        from guided_dml.registry import log_model

        places = {part: self._project / path for part, path in files.items()}
        if all(place.exists() for place in places.values()):
            log_model(self._client, self._experiment, self.id, name, export, places)

    def finish(self, status: str, error: str = "", now: int | None = None) -> None:
        """Close the run."""
        if error:
            self._client.set_tag(self.id, "error", error[:LONGEST_TAG])
        self._client.set_terminated(self.id, status, now)


def metric_name(name: str) -> str:
    """Return what MLflow calls a metric: it takes so many letters and no others, in paths."""
    return re.sub(r"[^/\w.\- :]|/(?=[/.]|$)", "_", name[:LONGEST_NAME])


def made_with(source: str, git: dict[str, Any], libraries: dict[str, str]) -> dict[str, str]:
    """Return the tags that say where a run comes from: command, state of git, versions."""
    return {
        "mlflow.user": _user(),
        "mlflow.source.name": source,
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": git["commit"],
        **{f"git {name}": str(value).lower() for name, value in git.items()},
        **{f"library {name}": version for name, version in libraries.items()},
    }


def _user() -> str:
    with suppress(KeyError, OSError):  # (in a container some users have no name)
        return getpass.getuser()
    return "unknown"


def reason(error: Exception) -> str:
    """Return the first line that says what an error is."""
    lines = (str(error).strip() or type(error).__name__).splitlines()
    return next((line for line in lines if "autoflush" not in line), lines[0])


def open_experiment(project: Path, name: str) -> Experiment:
    """Return a data set's experiment; close the runs that killed processes left open."""
    client = open_client(project)
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        place = project.resolve() / "mlruns" / "artifacts" / name
        artifacts = place.as_uri() if client.tracking_uri.startswith("sqlite") else None
        try:
            found = client.get_experiment(client.create_experiment(name, artifacts, KIND))
        except MlflowException:  # (another run was faster)
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":  # (in MLflow's page; its name stays taken)
        client.restore_experiment(found.experiment_id)
    for tag in KIND.keys() - found.tags.keys():  # (of experiments made by earlier versions)
        client.set_experiment_tag(found.experiment_id, tag, KIND[tag])
    open_here = f"attributes.status = 'RUNNING' AND tags.host = '{socket.gethostname()}'"
    for run in client.search_runs([found.experiment_id], open_here):
        if not alive(int(run.data.tags["process"])):
            client.set_terminated(run.info.run_id, "KILLED")
    return Experiment(project, client, found.experiment_id)


def open_client(project: Path) -> MlflowClient:
    """Return the client of MLflow's store, which is its registry as well."""
    uri = store_uri(project)
    from mlflow import MlflowClient

    return MlflowClient(uri, uri)


def store_uri(project: Path) -> str:
    """Return the address of MLflow's store; the project's own database is set up at the first use.

    Beside its place and by one process at a time: one that is killed on the way, or two that
    begin at once, would leave a broken database.

    Raises:
        InputError: The project's database is locked or damaged.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    elsewhere = os.environ.get("MLFLOW_TRACKING_URI")
    if elsewhere:
        return elsewhere
    from filelock import FileLock, Timeout
    from mlflow import MlflowClient

    folder = project.resolve() / "mlruns"
    folder.mkdir(exist_ok=True)
    database, partial = folder / "mlflow.db", folder / "mlflow.partial.db"
    try:
        with FileLock(folder / "mlflow.lock", timeout=60):
            if not (database.exists() and database.stat().st_size):
                partial.unlink(missing_ok=True)
                MlflowClient(sqlite_url(partial)).search_experiments(max_results=1)
                partial.replace(database)
        _bring_artifacts_home(database)
    except (sqlite3.Error, Timeout) as error:
        raise InputError(f"{database}: {error}") from error
    return sqlite_url(database)


def _bring_artifacts_home(database: Path) -> None:
    """Let the artifacts be beside the database: it names the folders of the project it came from.

    In one transaction, which finds out before MLflow does (after 20 s) whether another process
    has locked the database.
    """
    here, mark = f"{(database.parent / 'artifacts').as_uri()}/", "/mlruns/artifacts/"
    with closing(sqlite3.connect(database, timeout=PATIENCE, isolation_level=None)) as connection:
        connection.create_function("home", 1, lambda uri: here + uri.rpartition(mark)[2])
        connection.execute("begin immediate")
        for table, place in PLACES:
            ours = f"{place} like 'file:%{mark}%' and {place} <> home({place})"
            connection.execute(f"update {table} set {place} = home({place}) where {ours}")  # noqa: S608
        connection.execute("commit")
