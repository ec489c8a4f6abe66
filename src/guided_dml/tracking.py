"""One MLflow run for each Kedro run, written by a thread of its own.

MLflow's imports and its database take seconds that no step has to wait for. The database is
``mlruns/mlflow.db`` in the project, or what ``MLFLOW_TRACKING_URI`` names.
``--params tracking=false`` records nothing.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import AbstractVersionedDataset, CatalogProtocol
from kedro.pipeline import Pipeline

from guided_dml.databases import alive, sqlite_url
from guided_dml.errors import interrupted
from guided_dml.provenance import device_name, git_state, library_versions

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)


class TrackingHooks:
    """Hooks of one session at a time."""

    def __init__(self) -> None:
        self._context: KedroContext
        self._catalog: CatalogProtocol[Any, Any]
        self._recorder: Recorder | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember the session's configuration."""
        self._context, self._recorder = context, None

    @hook_impl
    def after_catalog_created(self, catalog: CatalogProtocol[Any, Any]) -> None:
        """Remember the session's catalog."""
        self._catalog = catalog

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline) -> None:
        """Open the run with its parameters, its tags and the versions that it reads."""
        loader, project = self._context.config_loader, self._context.project_path
        parameters = loader["parameters"]
        if not parameters["tracking"]:
            return
        trained = (n.removesuffix(".weights") for n in pipeline.all_outputs() if ".weights" in n)
        subject = "+".join(sorted(trained) or sorted(run_params["pipeline_names"] or ["kedro run"]))
        of_comparison = "comparison_table" in pipeline.all_outputs()
        tags = {
            "data set": "comparison" if of_comparison else loader["globals"]["dataset"],
            "method": subject,
            "seed": str(parameters["seed"]),
            "session": run_params["run_id"],
            **{f"git {name}": str(value).lower() for name, value in git_state(project).items()},
            "device": device_name(parameters["compute"]["device"]),
            **{f"library {name}": value for name, value in library_versions().items()},
            **{f"reads {name}": v for name, v in self._input_versions(pipeline)},
        }
        name = f"{subject} seed {parameters['seed']}"
        self._recorder = Recorder(
            lambda: TrackedRun(*open_experiment(project, tags["data set"]), name, tags, parameters)
        )

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Log what the catalog marks with ``metadata: {mlflow: metrics|history|artifact}``."""
        dataset: Any = self._catalog.get(dataset_name)
        kind = (getattr(dataset, "metadata", None) or {}).get("mlflow")
        if self._recorder is None or kind is None:
            return
        if kind == "metrics":
            prefix = "" if dataset_name.endswith(".scores") else f"{dataset_name}."
            metrics = {prefix + name: value for name, value in data.items()}
            self._recorder.soon(lambda run: run.log_metrics(metrics))
        elif kind == "history":
            name = dataset_name.replace(".", "_").removesuffix("_history")
            rows = data.to_dict("records")
            self._recorder.soon(lambda run: run.log_history(name, rows))
        else:
            folder = dataset_name.split(".")[0] if "." in dataset_name else None
            path = Path(dataset._get_load_path())
            self._recorder.soon(lambda run: run.log_file(path, folder))

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Close the run."""
        self._finish("FINISHED")

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        """Close the run as failed, with its error."""
        self._finish("KILLED" if interrupted(error) else "FAILED", str(error))

    def _finish(self, status: str, error: str = "") -> None:
        if self._recorder is not None:
            self._recorder.soon(lambda run: run.finish(status, error))
            self._recorder.close()
            self._recorder = None

    def _input_versions(self, pipeline: Pipeline) -> Iterator[tuple[str, str]]:
        for name in sorted(pipeline.inputs()):
            dataset = self._catalog.get(name)
            if isinstance(dataset, AbstractVersionedDataset) and dataset._version:
                yield name, str(dataset.resolve_load_version())


class Recorder:
    """A thread that records one thing after the other; what goes wrong is a warning."""

    def __init__(self, open_run: Callable[[], TrackedRun]) -> None:
        """Start the thread; it begins with opening the run."""
        self._run: TrackedRun | None = None
        self._thread = ThreadPoolExecutor(1, "tracking")
        self._thread.submit(self._open, open_run)

    def soon(self, work: Callable[[TrackedRun], None]) -> None:
        """Let the thread do it with the run, once it has done all that it was given before."""
        self._thread.submit(self._do, work)

    def close(self) -> None:
        """Wait until everything is recorded."""
        self._thread.shutdown()

    def _open(self, open_run: Callable[[], TrackedRun]) -> None:
        with _training_goes_on():
            self._run = open_run()

    def _do(self, work: Callable[[TrackedRun], None]) -> None:
        if self._run is not None:
            with _training_goes_on():
                work(self._run)


class TrackedRun:
    """A run in MLflow's store, without MLflow's global state."""

    def __init__(
        self,
        client: MlflowClient,
        experiment: str,
        name: str,
        tags: dict[str, str],
        parameters: dict[str, Any],
    ) -> None:
        """Open the run.

        Args:
            client: Of the store.
            experiment: Its id.
            name: Of the run.
            tags: Of the run.
            parameters: Nested; logged under their full names (``student.epochs``).
        """
        from mlflow.entities import Param

        self._client = client
        own = {"host": socket.gethostname(), "process": str(os.getpid())}
        self.id: str = client.create_run(experiment, run_name=name, tags=tags | own).info.run_id
        client.log_batch(
            self.id, params=[Param(name, str(value)) for name, value in flat(parameters)]
        )

    def log_metrics(self, metrics: dict[str, float], step: int = 0) -> None:
        """Log one value a metric."""
        self.log_history("", [metrics], step)

    def log_history(self, name: str, rows: list[dict[str, float]], first: int = 1) -> None:
        """Log a curve for each column; the rows are its steps."""
        from mlflow.entities import Metric

        now, prefix = int(1000 * time()), f"{name}." if name else ""
        metrics = [
            Metric(prefix + column, float(value), now, step)
            for step, row in enumerate(rows, start=first)
            for column, value in row.items()
            if column != "epoch"
        ]
        for start in range(0, len(metrics), 1000):  # (MLflow takes no more at once)
            self._client.log_batch(self.id, metrics=metrics[start : start + 1000])

    def log_file(self, path: Path, folder: str | None) -> None:
        """Copy a stored file into the run."""
        self._client.log_artifact(self.id, str(path), folder)

    def finish(self, status: str, error: str = "") -> None:
        """Close the run."""
        if error:
            self._client.set_tag(self.id, "error", error[:5000])
        self._client.set_terminated(self.id, status)


@contextmanager
def _training_goes_on() -> Iterator[None]:
    """Warn of what goes wrong in tracking: results are on the disk, and a run is worth more."""
    try:
        yield
    except Exception as error:  # (MLflow lets errors of its database, network and disk through)
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        logger.warning("MLflow did not record this (the run goes on): %s", reason)


def open_experiment(project: Path, name: str) -> tuple[MlflowClient, str]:
    """Return a client and an experiment's id; close the runs that killed processes left open.

    Args:
        project: The project's folder.
        name: The data set's.
    """
    client = _client(project)
    experiment = _experiment(client, project, name)
    _close_abandoned(client, experiment)
    return client, experiment


def _client(project: Path) -> MlflowClient:
    """Return a client of MLflow's store; its database is set up at the first use.

    Beside its place and by one process at a time: one that is killed on the way, or two that
    begin at once, would leave a broken database.
    """
    from filelock import FileLock
    from mlflow import MlflowClient

    elsewhere = os.environ.get("MLFLOW_TRACKING_URI")
    if elsewhere:
        return MlflowClient(elsewhere)
    folder = project / "mlruns"
    folder.mkdir(exist_ok=True)
    database, partial = folder / "mlflow.db", folder / "mlflow.partial.db"
    with FileLock(folder / "mlflow.lock", timeout=600):
        if not database.exists():
            partial.unlink(missing_ok=True)
            MlflowClient(sqlite_url(partial)).search_experiments(max_results=1)
            partial.replace(database)
    return MlflowClient(sqlite_url(database))


def _experiment(client: MlflowClient, project: Path, name: str) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        local = client.tracking_uri.startswith("sqlite")
        place = (project / "mlruns" / "artifacts" / name).as_uri() if local else None
        try:
            return str(client.create_experiment(name, artifact_location=place))
        except MlflowException:  # (another run was faster)
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    return str(found.experiment_id)


def _close_abandoned(client: MlflowClient, experiment_id: str) -> None:
    open_here = f"attributes.status = 'RUNNING' AND tags.host = '{socket.gethostname()}'"
    for run in client.search_runs([experiment_id], open_here):
        if not alive(int(run.data.tags["process"])):
            client.set_terminated(run.info.run_id, "KILLED")


def flat(parameters: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every parameter with its full name (``student.epochs``)."""
    for name, value in parameters.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
