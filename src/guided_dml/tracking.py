"""One MLflow run for each Kedro run, written by a thread of its own.

MLflow's imports and its database take seconds that no step has to wait for. The database is
``mlruns/mlflow.db`` in the project, or what ``MLFLOW_TRACKING_URI`` names.
``--params tracking=false`` records nothing.

What is to be recorded is first written down in ``mlruns/pending/<session>.jsonl``, one entry a
line, and that file is removed once MLflow has it all. So nothing is lost while MLflow is out of
reach or when the process is killed: the next run that reaches MLflow uploads what waits there.
"""

from __future__ import annotations

import fcntl
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from time import time
from typing import IO, Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline

from guided_dml.blocks import ComputeParameters
from guided_dml.errors import InputError
from guided_dml.inference.predictor import PARTS
from guided_dml.interruption import last_words
from guided_dml.lineage import versioned
from guided_dml.mlflow_store import TrackedRun, made_with, open_experiment, reason
from guided_dml.provenance import git_state, library_versions, peak_gpu_memory_mb, peak_memory_mb

logger = logging.getLogger(__name__)

#: Where entries wait for MLflow, in the project.
PENDING = Path("mlruns/pending")

#: Seconds that a run which was interrupted waits for MLflow.
PATIENCE = 3.0


class TrackingHooks:
    """Hooks of one session at a time."""

    def __init__(self) -> None:
        self._context: KedroContext
        self._catalog: CatalogProtocol[Any, Any]
        self._recorder: Recorder | None = None
        last_words.append(lambda: self._finish("KILLED", patience=PATIENCE))

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember the session's configuration."""
        self._context, self._recorder = context, None

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]
    ) -> None:
        """Open the run with its parameters, its tags and the versions that it reads."""
        self._catalog = catalog
        loader, project = self._context.config_loader, self._context.project_path
        parameters = loader["parameters"]
        if not parameters["tracking"]:
            return
        trained = (n.removesuffix(".weights") for n in pipeline.all_outputs() if ".weights" in n)
        asked = run_params["pipeline_names"] or []
        subject = "+".join(sorted(trained) or sorted(asked or ["kedro run"]))
        of_comparison = "comparison_table" in pipeline.all_outputs()
        versions = {
            name: str(dataset.resolve_load_version())
            for name, dataset in versioned(self._catalog, pipeline.inputs())
        }
        tags = {
            "data set": "comparison" if of_comparison else loader["globals"]["dataset"],
            "method": subject,
            "seed": str(parameters["seed"]),
            "device": _device(pipeline, parameters),
            **made_with(" ".join(["kedro run", *asked]), git_state(project), library_versions()),
            **{f"reads {name}": version for name, version in versions.items()},
        }
        self._recorder = Recorder(project, run_params["run_id"])
        self._recorder.soon(
            "open",
            experiment=tags["data set"],
            key={"session": run_params["run_id"]},
            name=f"{subject} seed {parameters['seed']}",
            tags=tags,
            parameters=parameters,
        )
        if "train_images" in versions:
            report: Any = self._catalog.get("data_report")
            path = Path(report._get_versioned_path(versions["train_images"]))
            with suppress(OSError, ValueError):  # (gone or damaged: the run may not need it)
                self._log_data(json.loads(path.read_text()))

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Log what the catalog marks: ``metadata: {mlflow: metrics|history|artifact|model}``."""
        if self._recorder is None:
            return
        dataset: Any = self._catalog.get(dataset_name)
        kind = (getattr(dataset, "metadata", None) or {}).get("mlflow")
        if kind == "metrics":
            prefix = "" if dataset_name.endswith(".scores") else f"{dataset_name}."
            self._recorder.soon("log_metrics", rows=[data], prefix=prefix)
        elif kind == "history":
            name = dataset_name.replace(".", "_").removesuffix("_history")
            rows = data.drop(columns="seed").to_dict("records")
            self._recorder.soon("log_metrics", rows=rows, prefix=f"{name}.", first=1)
        elif kind == "artifact":
            folder = dataset_name.split(".")[0] if "." in dataset_name else None
            self._recorder.soon("log_file", path=self._place(dataset_name), folder=folder)
        elif kind == "model":
            method = dataset_name.partition(".")[0]
            files = {part: self._place(f"{method}.{part}") for part in PARTS}
            export = self._place(dataset_name).parent.name
            self._recorder.soon("log_model", name=data["name"], export=export, files=files)
        if dataset_name == "data_report":
            self._log_data(data)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Log what the process took of memory, and close the run."""
        if self._recorder is not None:
            peaks = {"peak_memory_mb": peak_memory_mb(), "peak_gpu_memory_mb": peak_gpu_memory_mb()}
            self._recorder.soon("log_metrics", rows=[peaks])
        self._finish("FINISHED")

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        """Close the run as failed, with its error."""
        self._finish("FAILED", str(error))

    def _finish(self, status: str, error: str = "", patience: float | None = None) -> None:
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.soon("finish", status=status, error=error)
            recorder.close(patience)

    def _place(self, name: str) -> Path:
        """Return where a dataset's file is, seen from the project, which may move."""
        dataset: Any = self._catalog.get(name)
        path, project = Path(dataset._get_load_path()), self._context.project_path
        return path.relative_to(project) if path.is_relative_to(project) else path

    def _log_data(self, report: dict[str, Any]) -> None:
        if self._recorder is not None and "fingerprint" in report:
            name = self._context.config_loader["globals"]["dataset"]
            self._recorder.soon("log_data", name=name, digest=report["fingerprint"])


def _device(pipeline: Pipeline, parameters: dict[str, Any]) -> str:
    if "params:compute" not in pipeline.inputs():
        return "CPU, without PyTorch"
    from guided_dml.training.policy import Policy  # (torch, which takes seconds)

    compute = ComputeParameters.model_validate(parameters["compute"])
    policy = Policy.of(compute, parameters["student"]["backbone"])
    trains = any("weights" in name for name in pipeline.all_outputs())
    return str(policy) if trains else policy.hardware  # (the precision is of trainings only)


class Recorder:
    """Writes a session's entries down, and records them in a thread, one after the other."""

    def __init__(self, project: Path, session: str) -> None:
        self._project, self._entries = project, SimpleQueue[str | None]()
        self._written: FileIO | None = None
        with suppress(OSError):  # (a disk that is full or read-only: there is only MLflow then)
            (project / PENDING).mkdir(parents=True, exist_ok=True)
            self._written = (project / PENDING / f"{session}.jsonl").open("ab", buffering=0)
            fcntl.flock(self._written, fcntl.LOCK_EX)
        # A daemon, for which the interpreter does not wait at its end.
        self._thread = Thread(target=self._record, name="tracking", daemon=True)
        self._thread.start()

    def soon(self, what: str, **content: Any) -> None:
        """Let the thread do ``what`` (a method of ``TrackedRun``), after all that came before."""
        entry = json.dumps([what, content | {"now": int(1000 * time())}], default=str) + "\n"
        if self._written is not None:
            with suppress(OSError):
                self._written.write(entry.encode())
        self._entries.put(entry)

    def close(self, patience: float | None = None) -> None:
        """Wait until everything is recorded, or ``patience`` seconds."""
        self._entries.put(None)
        self._thread.join(patience)
        if self._written is not None:
            self._written.close()

    def _record(self) -> None:
        if not record(self._project, map(json.loads, iter(self._entries.get, None)), self._warn):
            if self._written is not None:
                Path(str(self._written.name)).unlink(missing_ok=True)
            upload_pending(self._project)

    def _warn(self, error: Exception) -> None:
        kept = "the next run that reaches it uploads what is missing"
        later = kept if self._written is not None else "nor can it be kept for later"
        logger.warning("MLflow did not record this (the run goes on): %s; %s", reason(error), later)


def record(project: Path, entries: Iterable[Any], warn: Callable[[Exception], None]) -> set[str]:
    """Record a run in MLflow, and return the kinds of entries of which some are not there.

    Of each kind of entry only one may fail: a server that is gone costs time with every attempt,
    and without a place for files there are still the scores.

    Args:
        project: Its folder.
        entries: What is to be done, with which arguments; the first opens the run.
        warn: Is told of the first error.
    """
    run, given_up = None, set[str]()
    for what, content in entries:
        if what in given_up or (run is None and what != "open"):
            continue
        try:
            if what == "open":
                run = TrackedRun(open_experiment(project, content.pop("experiment")), **content)
            else:
                getattr(run, what)(**content)
        except Exception as error:  # (MLflow lets errors of its database, network and disk through)
            if not given_up:
                warn(error)
            given_up.add(what)
    return given_up


def upload_pending(project: Path) -> None:
    """Record what earlier runs of a project could not, those among them that were killed."""
    for path in sorted((project / PENDING).glob("*.jsonl")):
        with suppress(FileNotFoundError), path.open(errors="replace") as file:
            if _is_under_way(file) or not path.stat().st_size:  # (it is about to begin)
                continue
            entries = list(_whole(file))
            if entries and entries[-1][0] != "finish":
                ended = int(1000 * path.stat().st_mtime)
                entries.append(["finish", {"status": "KILLED", "now": ended}])
            refused = record(project, entries, _still_waits)
            if "open" in refused:  # (as of all others that wait)
                return
            if not refused:
                path.unlink(missing_ok=True)
                logger.info("MLflow: uploaded what waited of the run %s", path.stem)


def refuse_runs_under_way(project: Path) -> None:
    """Raise an InputError if a run of a project is under way that MLflow tracks."""
    for path in (project / PENDING).glob("*.jsonl"):
        with suppress(FileNotFoundError), path.open() as file:
            if _is_under_way(file):
                raise InputError(
                    f"the run {path.stem} is under way and needs its inputs; prune later"
                )


def _is_under_way(file: IO[str]) -> bool:
    """Return whether a run still writes to its file; else the file is locked."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


def _whole(lines: Iterable[str]) -> Iterator[Any]:
    """Yield the entries of a file whose last line may be a piece."""
    for line in lines:
        with suppress(ValueError):
            yield json.loads(line)


def _still_waits(error: Exception) -> None:
    logger.warning("MLflow did not take what waits in %s: %s", PENDING, reason(error))
