"""Hand-written records of a comparison, as `kedro compare` leaves them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from conftest import base_parameters
from guided_dml.comparison.measurements import Measured, pixels_place
from guided_dml.comparison.records import About, RunRecord, settings_key
from guided_dml.comparison.sessions import Nested, merged
from guided_dml.methods import METHODS
from guided_dml.metrics.names import SCORES
from guided_dml.metrics.protocol import as_bytes
from guided_dml.parameters import validated

FOLDER = Path("data") / "08_reporting" / "comparison"

#: The paper's.
PARAMETERS = merged(base_parameters(), {"student": {"epochs": 50, "batch_size": 32}})


def key(method: str, parameters: Nested = PARAMETERS) -> str:
    """Return the key of a method's settings."""
    return settings_key(validated(parameters), method, "d1")


def about(data_set: str = "digits", protocol: str = "equal", **changes: Any) -> dict[str, Any]:
    """Return what is compared."""
    parameters = changes.get("parameters", PARAMETERS)
    valid = validated(parameters)
    return {
        "data_set": data_set,
        "protocol": protocol,
        "settings": {method: settings_key(valid, method, "d1") for method in METHODS},
        "classes": [f"class {i}" for i in range(10)],
        "data_version": "d1",
        "parameters": parameters,
        "pixel_scores": {"recall_at_1": 0.986, "accuracy": 0.9861},
    } | changes


def run(
    method: str = "guided",
    seed: int = 0,
    score: float = 0.9,
    data_set: str = "digits",
    protocol: str = "equal",
    **changes: Any,
) -> dict[str, Any]:
    """Return the record of a run, all of whose scores are ``score``."""
    return {
        "data_set": data_set,
        "protocol": protocol,
        "method": method,
        "seed": seed,
        "scores": dict.fromkeys(SCORES, score),
        "images_seen": {"student": 32_000, "teacher": 86_400 if method == "guided" else 0},
        "seconds": 61.5 + seed,
        "peak_memory_mb": 800.0,
        "parameters": PARAMETERS,
        "data_version": "d1",
        "git": {"commit": "0123456789abcdef", "dirty": False},
        "device": "CPU, 1 thread",
        "libraries": {"torch": "2.11"},
        "finished": "2026-11-23T18:08:06+00:00",
    } | changes


def run_id(record: dict[str, Any]) -> str:
    """Return the partition that a record belongs in."""
    return RunRecord.model_validate(record).id


def partitions(records: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """Return records as Kedro hands them to a node."""

    def loader(record: Any) -> Callable[[], Any]:
        return lambda: record

    return {place: loader(record) for place, record in records.items()}


def by_id(runs: Iterable[dict[str, Any]]) -> dict[str, Callable[[], Any]]:
    """Return runs as the scoreboard's partitions."""
    return partitions({run_id(record): record for record in runs})


def abouts(*comparisons: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """Return what is compared as partitions."""
    return partitions({About.model_validate(one).id: one for one in comparisons})


def measured(place: str, module: str, scores: dict[str, float], key: str = "k1") -> dict[str, Any]:
    """Return the record of a module of robustness."""
    return {
        "place": place,
        "module": module,
        "key": key,
        "scores": scores,
        "seconds": 2.5,
        "git": {"commit": "0123456789abcdef", "dirty": False},
        "finished": "2026-11-23T18:08:06+00:00",
    }


def measured_by_id(*records: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """Return records of modules as the scoreboard's partitions."""
    return partitions({Measured.model_validate(record).id: record for record in records})


def pixels_of(what: dict[str, Any]) -> str:
    """Return the place of the raw pixels of what is compared."""
    return pixels_place(About.model_validate(what))


def split_parameters(classes: str) -> Nested:
    """Return the parameters of a comparison that trains on some classes."""
    return merged(PARAMETERS, {"data": {"classes": list(classes)}})


def write_json(project: Path, folder: str, place: str, content: Any) -> Path:
    """Store one partition; a text is stored as it is."""
    path = project / FOLDER / folder / f"{place}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def write_tensors(project: Path, folder: str, place: str, **arrays: np.ndarray) -> None:
    """Store one partition of tensors."""
    path = project / FOLDER / folder / f"{place}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in arrays.items()}
    save_file(tensors, path)


def clusters(
    labels: np.ndarray, spread: float, seed: int, dimension: int = 2, reach: float = 5
) -> np.ndarray:
    """Return an embedding float32 ``[N, dimension]``: a Gaussian cluster a class."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(labels.max() + 1, dimension))
    centres *= reach / np.linalg.norm(centres, axis=1, keepdims=True)
    noise = rng.normal(size=(len(labels), dimension)) * spread
    embeddings: np.ndarray = (centres[labels] + noise).astype(np.float32)
    return embeddings


def write_comparison(
    project: Path,
    methods: Iterable[str],
    seeds: int,
    images: np.ndarray,
    labels: np.ndarray,
    **of: Any,
) -> None:
    """Store a whole comparison on one data set: scores, embeddings and images.

    Args:
        project: Folder of the project.
        methods: That have run.
        seeds: Runs of each.
        images: uint8 ``[N, C, H, W]``, the queries.
        labels: int64 ``[N]``.
        **of: What ``about`` takes.
    """
    what = about(**of)
    place = f"{what['data_set']}/{what['protocol']}"
    write_json(project, "current", place, what)
    rng = np.random.default_rng(len(place))
    for rank, method in enumerate(methods):
        level = rng.uniform(0.6, 0.98)
        for seed in range(seeds):
            record = run(method, seed, 0, what["data_set"], what["protocol"])
            record["scores"] = {
                name: float(np.clip(rng.normal(level - 0.02 * i, 0.01), 0, 1))
                for i, name in enumerate(SCORES)
            }
            record["parameters"] = what["parameters"]
            record["seconds"] = float(rng.normal(60 + 15 * rank, 3))
            write_json(project, "scoreboard", run_id(record), record)
            embeddings = clusters(labels, 1.6 * (1.05 - level) * 3, rank, reach=3.0 + rank)
            write_tensors(
                project, "embeddings", run_id(record), embeddings=embeddings, labels=labels
            )
    rows = np.linspace(0, len(labels) - 1, min(2000, len(labels))).astype(np.int64)
    write_tensors(
        project,
        "images",
        f"{what['data_set']}/{what['data_version']}/test",
        images=images[rows],
        rows=rows,
        labels=labels[rows],
        names=as_bytes([*map(str, rows)]),
    )
