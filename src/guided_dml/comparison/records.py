"""The one record of a run: a worker writes it; commands, the upload and the report read it.

It lies at ``<data set>/<protocol>/<method>/<settings>/seed_<n>``, where ``settings`` is the key of
all that its training and its scoring read but the seed. A file that is damaged, or whose content
belongs in another place, counts nowhere.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Literal, TypeVar

from kedro.framework.project import pipelines
from kedro.io import DatasetError
from kedro.pipeline import Pipeline
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationError,
    computed_field,
)

from guided_dml.comparison.names import DATA_SETS, in_order
from guided_dml.errors import InputError
from guided_dml.methods import METHODS
from guided_dml.metrics.names import SCORES
from guided_dml.parameters import Parameters, flat, validated

logger = logging.getLogger(__name__)

#: Where the catalog keeps the records.
SCOREBOARD = Path("data/08_reporting/comparison/scoreboard")

#: Parameters of training and scoring that no score depends on; a run brings its seed itself.
NOT_SETTINGS = ("seed", "evaluation.batch_size")

#: From prepared data to what a guided student learns from.
TEACHER = ("triplets", "gemini", "teacher_embeddings")

#: Kedro's partitions: what loads each, by its id.
Partitions = Mapping[str, Callable[[], Any]]
Share = Annotated[float, Field(ge=0, le=1)]
Protocol = Literal["equal", "tuned"]
_without_methods = BeforeValidator(partial(validated, methods=()))
AllParameters = Annotated[SerializeAsAny[Parameters], _without_methods]


class _Stored(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


class About(_Stored):
    """What is compared on a data set under a protocol.

    Attributes:
        settings: For each method the key of its current settings.
        parameters: What all methods share.
        pixel_scores: Of the nearest neighbour on raw pixels.
    """

    data_set: str
    protocol: Protocol
    settings: dict[str, str]
    classes: list[str]
    data_version: str
    parameters: AllParameters
    pixel_scores: dict[str, Share]

    @property
    def id(self) -> str:
        """The place where this is stored."""
        return f"{self.data_set}/{self.protocol}"

    def stored(self) -> dict[str, Any]:
        """Return what its file holds: no method's block, as methods come and go."""
        return self.model_dump(exclude={"parameters": set(METHODS)})


class GitState(_Stored):
    """The code that a run used."""

    commit: str
    dirty: bool


class RunRecord(_Stored):
    """One run of a method with one seed. Fields that come later need a default.

    Attributes:
        images_seen: What was trained on, an image as often as it was seen.
    """

    data_set: str
    protocol: Protocol
    method: str
    seed: int
    scores: dict[str, Share]
    images_seen: dict[Literal["student", "teacher"], int]
    seconds: Annotated[float, Field(ge=0)]
    resumed: bool = False
    peak_memory_mb: Annotated[float, Field(ge=0)]
    peak_gpu_memory_mb: Annotated[float, Field(ge=0)] = 0
    parameters: AllParameters
    data_version: str
    git: GitState
    device: str
    libraries: dict[str, str]
    finished: str

    @computed_field  # type: ignore[prop-decorator]
    @property
    def settings(self) -> str:
        """The key of its settings."""
        return settings_key(self.parameters, self.method, self.data_version)

    @property
    def id(self) -> str:
        """The place where this is stored."""
        return place(self.data_set, self.protocol, self.method, self.settings, self.seed)

    def stored(self) -> dict[str, Any]:
        """Return what its file holds: no other method's block, as methods come and go."""
        return self.model_dump(exclude={"parameters": METHODS.keys() - {self.method}})

    @property
    def lacking(self) -> list[str]:
        """The scores that came after this run."""
        return [name for name in SCORES if name not in self.scores]


def place(data_set: str, protocol: str, method: str, settings: str, seed: int) -> str:
    """Return where the record of a run is stored."""
    return f"{data_set}/{protocol}/{method}/{settings}/seed_{seed}"


def way(method: str) -> list[str]:
    """Return the pipelines that lead from prepared data to a method's scores."""
    return [*(TEACHER if METHODS[method].follows_teacher else ()), method]


def settings_key(parameters: Parameters, method: str, data_version: str) -> str:
    """Return the key of what a method's pipelines read, and of its prepared data.

    Parameters that came later are not part of it while they have their defaults.
    """
    read = {
        name: value
        for name, value in flat(parameters.model_dump(exclude_defaults=True))
        if f"{name}.".startswith(_read_by(method)) and name not in NOT_SETTINGS
    }
    return hash_of([method, data_version, read])


def hash_of(value: Any) -> str:
    """Return a short hash of what JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


@cache
def _read_by(method: str) -> tuple[str, ...]:
    """Return the parameters and blocks that a method's scores depend on, each with a full stop."""
    nodes = sum((pipelines[name] for name in way(method)), Pipeline([]))
    inputs = nodes.to_outputs(f"{method}.scores").inputs()
    return tuple(f"{name[7:]}." for name in inputs if name.startswith("params:"))


def finished(project: Path, run: str) -> RunRecord | None:
    """Return the record of a run by its place, if it is on the scoreboard and sound."""
    path = project / SCOREBOARD / f"{run}.json"
    if not path.exists():
        return None
    return _read("score", RunRecord, run, lambda: json.loads(path.read_text("utf-8")))


_Model = TypeVar("_Model", About, RunRecord)


def _read(kind: str, model: type[_Model], place: str, load: Callable[[], Any]) -> _Model | None:
    """Return a stored file's content; None, with a warning, if it does not count."""
    try:
        found = model.model_validate(load())
        if found.id == place:
            return found
        reason = f"its content is that of {found.id}"
    except (OSError, DatasetError) as error:
        reason = f"cannot be read: {error.__cause__ or error}"
    except (ValueError, KeyError) as error:
        faults = error.errors() if isinstance(error, ValidationError) else []
        texts = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in faults[:3]]
        reason = "; ".join(texts) or f"cannot be read: {error}"
    _warn(kind, place, reason)
    return None


def _warn(kind: str, place: str, reason: str) -> None:
    logger.warning("the %s file %s does not count: %s", kind, place, " ".join(reason.split()))


@dataclass(frozen=True)
class Comparison:
    """All runs that count on a data set under a protocol.

    Attributes:
        about: What is compared.
        runs: For each method that has run, in the order of the tables, its runs by seed.
    """

    about: About
    runs: dict[str, list[RunRecord]]

    def scores(self, method: str, score: str) -> dict[int, float]:
        """Return a score of a method's runs by their seeds, without the runs that lack it."""
        runs = self.runs.get(method, [])
        return {run.seed: run.scores[score] for run in runs if score in run.scores}

    def seconds(self, method: str) -> float:
        """Return the median time of a method's runs, without those that were resumed."""
        runs = self.runs[method]
        return median(run.seconds for run in [r for r in runs if not r.resumed] or runs)

    @property
    def all_runs(self) -> list[RunRecord]:
        """The runs of all methods."""
        return [run for runs in self.runs.values() for run in runs]


def read_comparisons(comparisons: Partitions, scoreboard: Partitions) -> list[Comparison]:
    """Return what is compared now, the equal protocol first.

    Runs with other settings than the current ones are left out silently: they belong to an
    earlier comparison.

    Args:
        comparisons: ``<data set>/<protocol>``: which settings are the current ones.
        scoreboard: ``<data set>/<protocol>/<method>/<settings>/seed_<n>``: all runs ever scored.

    Raises:
        InputError: There is not a single run to report on.
    """
    found = [_read("comparison", About, where, load) for where, load in comparisons.items()]
    abouts = [about for about in found if about]
    for where in scoreboard:
        if where.count("/") != 4:
            _warn("score", where, "not <data set>/<protocol>/<method>/<settings>/seed_<n>")
    data_sets = in_order({about.data_set for about in abouts}, DATA_SETS)
    abouts.sort(key=lambda about: (about.protocol, data_sets.index(about.data_set)))
    compared = [Comparison(about, _runs_of(about, scoreboard)) for about in abouts]
    if not any(comparison.runs for comparison in compared):
        raise InputError("no score of the current comparison is stored; run `kedro compare`")
    return [comparison for comparison in compared if comparison.runs]


def _runs_of(about: About, scoreboard: Partitions) -> dict[str, list[RunRecord]]:
    runs = {}
    for method in in_order(about.settings, METHODS):
        folder = f"{about.id}/{method}/{about.settings[method]}/"
        places = [where for where in sorted(scoreboard) if where.startswith(folder)]
        read = [_read("score", RunRecord, where, scoreboard[where]) for where in places]
        if any(read):
            runs[method] = sorted(filter(None, read), key=lambda run: run.seed)
    return runs
