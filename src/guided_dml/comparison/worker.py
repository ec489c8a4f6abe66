"""One run of a comparison, on whatever machine it is sent to."""

from __future__ import annotations

import json
import logging
import shutil
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from guided_dml.comparison.plan import READ, PlannedRun
from guided_dml.comparison.records import (
    SCOREBOARD,
    RunRecord,
    finished,
    settings_key,
    way,
)
from guided_dml.comparison.sessions import InMemoryRunner, Nested, session
from guided_dml.errors import InputError
from guided_dml.inference.card import Card
from guided_dml.methods import METHODS
from guided_dml.parameters import validated
from guided_dml.provenance import (
    git_state,
    library_versions,
    peak_gpu_memory_mb,
    peak_memory_mb,
    start_peak_memory,
)

#: What is stored of a trained network, as far as its method has it.
NETWORK = ("weights", "head", "reference_embeddings")

#: A session is alone in its process: hooks and PyTorch's switches are shared.
alone = threading.Lock()


def has_network(project: Path, run: PlannedRun) -> bool:
    """Return whether all that measures a run without its training is stored, and whole."""
    return all(map(_is_whole, _files(project, run)))


def has_damaged_files(project: Path, run: PlannedRun) -> bool:
    """Return whether a part of a run's network or its embeddings are stored, but not whole."""
    return any(file.exists() and not _is_whole(file) for file in _files(project, run))


def _files(project: Path, run: PlannedRun) -> list[Path]:
    """Return where the parts of a run's network, its card and its queries' embeddings are."""
    parts = [name for name in NETWORK if name != "head" or METHODS[run.method].classifies]
    files = [f"weights/{run.id}/{name}.safetensors" for name in parts]
    files += [f"cards/{run.id}.json", f"embeddings/{run.id}.safetensors"]
    return [project / SCOREBOARD.parent / file for file in files]


def _is_whole(file: Path) -> bool:
    """Return whether a file is there with its whole content, by what it says of itself."""
    from safetensors import SafetensorError, safe_open

    try:
        if file.suffix == ".json":
            return bool(Card.of(json.loads(file.read_text("utf-8")), file))
        with safe_open(file, "np") as tensors:
            return bool(tensors.keys())
    except (OSError, ValueError, SafetensorError):
        return False


def compute(
    project: str, planned: PlannedRun, store: bool = True, weights: bool = False
) -> RunRecord:
    """Train and score, and put the result on the scoreboard.

    Args:
        project: The project's folder; a worker on another machine reads the same one.
        planned: What to run.
        store: Whether the score file and the embeddings of the queries are written.
        weights: Whether the trained network is stored as well, so that it can be scored again.

    Returns:
        The content of the score file.

    Raises:
        InputError: The configuration is not the one that the run was planned with, or its
            training failed for a reason that the user can mend.
    """
    method, runner = planned.method, InMemoryRunner()
    # Read before the training: what is edited meanwhile is not what it computes with.
    made_with = {"git": git_state(Path(project)), "libraries": library_versions()}
    with alone, session(Path(project), planned.data_set, planned.parameters) as (opened, context):
        quiet()
        done = finished(Path(project), planned.id) if store else None
        run = Path(project), planned
        whole = has_network(*run) if weights else not has_damaged_files(*run)
        if done and not done.lacking and whole:  # (by another comparison at the same time)
            return done
        parameters = context.config_loader["parameters"]
        if settings_key(validated(parameters), method, planned.data_version) != planned.settings:
            raise InputError(f"{project} is configured differently here than where it was planned")
        teacher = ["gemini_scores"] if METHODS[method].follows_teacher else []
        start_peak_memory()
        begin = perf_counter()
        opened.run(
            pipeline_names=way(method),
            to_outputs=[f"{method}.scores", *teacher],
            load_versions=dict.fromkeys(READ, planned.version),
            runner=runner,
        )
        measured = {
            "seconds": round(perf_counter() - begin, 2),
            "resumed": runner.catalog.load("checkpoints").resumed,
            "peak_memory_mb": round(peak_memory_mb()),
            "peak_gpu_memory_mb": round(peak_gpu_memory_mb()),
        }
        results = {name: kept.load() for name, kept in runner.results.items()}
        record = _record(planned, parameters, results, made_with | measured)
        if store:
            # (an earlier record first: without one a run that is killed here is stored again from
            # its checkpoint; and what was measured of an earlier network is not of this one)
            measured_before = Path(project) / SCOREBOARD / planned.id
            measured_before.with_name(f"{measured_before.name}.json").unlink(missing_ok=True)
            shutil.rmtree(measured_before, ignore_errors=True)
            for file in _files(*run):
                file.unlink(missing_ok=True)
            _store(context.catalog, planned, results, record, weights)
        runner.catalog.load("checkpoints").remove_used()
    return record


def quiet() -> None:
    """Let the process that started this one speak for all."""
    for name in ("guided_dml", "kedro", "kedro_viz"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _store(
    catalog: Any, planned: PlannedRun, results: dict[str, Any], record: RunRecord, weights: bool
) -> None:
    """Store a run's results, its record at last; with its network it can be scored again."""
    own = {name.partition(".")[2]: result for name, result in results.items()}
    if weights:
        parts = {f"{planned.id}/{name}": own[name] for name in NETWORK if own.get(name)}
        catalog.save("scoreboard_weights", parts)
        catalog.save("scoreboard_cards", {planned.id: own["card"]._asdict()})
    catalog.save("scoreboard_embeddings", {planned.id: own["query_embeddings"]})
    catalog.save("scoreboard", {planned.id: record.stored()})


def _record(
    planned: PlannedRun, parameters: Nested, results: dict[str, Any], facts: dict[str, Any]
) -> RunRecord:
    from guided_dml.training.policy import Policy

    policy = Policy.of(validated(parameters).compute)
    histories = {"student": f"{planned.method}.history", "teacher": "gemini_history"}
    return RunRecord.model_validate(
        {
            "data_set": planned.data_set,
            "protocol": planned.protocol,
            "method": planned.method,
            "seed": planned.seed,
            "scores": results[f"{planned.method}.scores"],
            "teacher": results.get("gemini_scores", {}),
            "images_seen": {
                part: int(results[name]["images_seen"].iloc[-1]) if name in results else 0
                for part, name in histories.items()
            },
            "parameters": parameters,
            "data_version": planned.data_version,
            "device": str(replace(policy, reason=planned.reason)),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            **facts,
        }
    )
