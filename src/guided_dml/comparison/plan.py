"""What a comparison consists of: data sets, methods and seeds, each run under a key.

The key of a run's settings is a hash of all parameters that its method reads, the seed left out,
and of the content of the prepared data. A finished run is found again by it, and runs under other
settings are never mixed with it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from kedro.io import DatasetError, Version
from kedro.runner import SequentialRunner

from guided_dml.comparison.sessions import Nested, merged, session
from guided_dml.errors import InputError
from guided_dml.lineage import content_hash
from guided_dml.parameters import BASELINES, METHODS

#: What the runs of a comparison read.
PREPARED = ("train_images", "test_images", "normalisation", "split", "classes")

SAVED_TOGETHER = (*PREPARED, "data_report", "pixel_scores")

#: Parameters that no result depends on, or that a run brings itself.
NOT_SETTINGS = ("seed", "tracking")
#: Parameters that only the guided method reads.
GUIDED_ONLY = ("triplets", "gemini")


class Run(NamedTuple):
    """One training and its scores.

    Attributes:
        data_set: The environment.
        protocol: ``equal`` or ``tuned``.
        method: Whose pipeline.
        seed: Of the run.
        settings: The key of everything else.
        data_version: Hash of the prepared data.
        parameters: What the session is given on top of the environment's parameters.
        versions: The versions of the prepared data.
    """

    data_set: str
    protocol: str
    method: str
    seed: int
    settings: str
    data_version: str
    parameters: Nested
    versions: dict[str, str]

    @property
    def id(self) -> str:
        """The run's place on the scoreboard."""
        place = (self.data_set, self.protocol, self.method, self.settings)
        return f"{'/'.join(place)}/seed_{self.seed}"

    @property
    def name(self) -> str:
        """Data set, method and seed."""
        return f"{self.data_set} {self.method} {self.seed}"


@dataclass(frozen=True)
class Plan:
    """The runs on one data set.

    Attributes:
        data_set: The environment.
        protocol: ``equal`` or ``tuned``.
        runs: Seeds outermost, so that an unfinished comparison has seeds of all methods.
        current: What the report has to know; partition of ``comparisons``.
        tracking: Whether MLflow is to know.
    """

    data_set: str
    protocol: str
    runs: list[Run]
    current: Nested
    tracking: bool

    @property
    def key(self) -> str:
        """Of all methods' settings together."""
        return _hash(self.current["settings"])


def settings_key(parameters: Nested, method: str, data_version: str) -> str:
    """Return the key of a run's settings.

    Args:
        parameters: All parameters of the run.
        method: Whose other methods' blocks do not matter.
        data_version: Hash of the prepared data.
    """
    unread = {*NOT_SETTINGS, *METHODS} - {method}
    if method in BASELINES:
        unread |= set(GUIDED_ONLY)
    relevant = {name: value for name, value in parameters.items() if name not in unread}
    return _hash([method, data_version, relevant])


def plan_data_set(
    project: Path, data_set: str, protocol: str, methods: list[str], seeds: int, overrides: Nested
) -> Plan:
    """Prepare a data set, unless that is done, and plan its runs.

    Args:
        project: The project's folder.
        data_set: The environment.
        protocol: ``tuned`` lays each method's tuned settings below ``overrides``.
        methods: Which ones.
        seeds: How many, from 0.
        overrides: Parameters on top of the environment's.

    Raises:
        InputError: A parameter is wrong, raw data are missing, or a method is not tuned.
    """
    quiet = merged(overrides, {"tracking": False})
    version = _prepare(project, data_set, quiet)
    versions = dict.fromkeys(PREPARED, version)
    on_top = {
        method: merged(_tuned(project, data_set, method, method in methods), quiet)
        if protocol == "tuned"
        else quiet
        for method in METHODS
    }
    with session(project, data_set, overrides) as (_, context):
        catalog, shared = context.catalog, context.config_loader["parameters"]
        for name in (*PREPARED, "pixel_scores"):  # (not what another run prepares meanwhile)
            catalog[name]._version = Version(version, None)
        contents = (content_hash(Path(catalog[name]._get_load_path())) for name in PREPARED)
        data_version = _hash(list(contents))
        keys = {
            method: settings_key(merged(shared, on_top[method]), method, data_version)
            for method in METHODS
        }
        current = {
            "data_set": data_set,
            "protocol": protocol,
            "settings": keys,
            "classes": catalog.load("classes"),
            "data_version": data_version,
            "parameters": {name: v for name, v in shared.items() if name not in NOT_SETTINGS},
            "pixel_scores": catalog.load("pixel_scores"),
        }
        queries = shared["evaluation"]["split"]
        images = {f"{data_set}/{data_version}/{queries}": _shown_images(catalog, queries)}
        catalog.save("scoreboard_images", images)
    runs = [
        Run(
            data_set=data_set,
            protocol=protocol,
            method=method,
            seed=seed,
            settings=keys[method],
            data_version=data_version,
            parameters=merged(on_top[method], {"seed": seed}),
            versions=versions,
        )
        for seed in range(seeds)
        for method in methods
    ]
    return Plan(data_set, protocol, runs, current, shared["tracking"])


def announce(project: Path, plan: Plan) -> None:
    """Let the report be about this comparison."""
    with session(project, plan.data_set, {}) as (_, context):
        context.catalog.save("comparisons", {f"{plan.data_set}/{plan.protocol}": plan.current})


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def _prepare(project: Path, data_set: str, parameters: Nested) -> str:
    """Return the version of the prepared data that fit the parameters; make it, if need be."""
    with session(project, data_set, parameters) as (opened, context):
        asked = context.config_loader["parameters"]
        wanted = {name: asked[name] for name in ("data", "split_seed")}
        version = _stored(context.catalog, wanted)
        if version is None:
            opened.run(pipeline_names=["ingestion"], runner=SequentialRunner())
            version = str(opened.session_id)
    return version


def _stored(catalog: Any, wanted: Nested) -> str | None:
    """Return the newest version of the prepared data, if it is whole and as wanted."""
    try:
        report = catalog.load("data_report")
        versions = {catalog[name].resolve_load_version() for name in SAVED_TOGETHER}
    except DatasetError:
        return None
    made_with = report.get("parameters")
    return versions.pop() if len(versions) == 1 and made_with == wanted else None


def _shown_images(catalog: Any, queried: str) -> Nested:
    """Return an evenly spaced selection of the queries: images, labels and their rows."""
    import torch

    from guided_dml.figures.page import MOST_POINTS
    from guided_dml.figures.plane import evenly_spaced
    from guided_dml.pipelines.evaluation.nodes import sets_of

    train, test, split = (catalog.load(name) for name in ("train_images", "test_images", "split"))
    _, queries = sets_of(train, test, split, queried).values()
    rows = torch.from_numpy(evenly_spaced(len(queries["labels"]), MOST_POINTS))
    return {"images": queries["images"][rows], "labels": queries["labels"][rows], "rows": rows}


def tuned_file(project: Path, data_set: str, method: str) -> Path:
    """Return where the tuned settings of a method on a data set are."""
    return project / "conf" / data_set / "tuned" / f"{method}.yml"


def _tuned(project: Path, data_set: str, method: str, needed: bool) -> Nested:
    file = tuned_file(project, data_set, method)
    if not file.exists():
        if needed:
            raise InputError(
                f"{method} is not tuned on {data_set}: there is no {file.relative_to(project)}; "
                f"run kedro tune --env {data_set} --method {method}, or use --protocol equal"
            )
        return {}
    settings: Nested = yaml.safe_load(file.read_text("utf-8"))
    return settings
