"""The one record of a run: a worker writes it; commands, the upload and the report read it.

It lies at ``<data set>/<protocol>/<method>/<settings>/seed_<n>``, where ``settings`` is the key of
all that its training and its scoring read but the seed. A file that is damaged, or whose content
belongs in another place, counts nowhere.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from pathlib import Path
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

from guided_dml.blocks import DataParameters
from guided_dml.methods import METHODS
from guided_dml.metrics.names import SCORES
from guided_dml.parameters import Parameters, flat, read_by, validated

logger = logging.getLogger(__name__)

#: Where the catalog keeps the records.
SCOREBOARD = Path("data/08_reporting/comparison/scoreboard")

#: Parameters of training and scoring that no score depends on; a run brings its seed itself.
NOT_SETTINGS = ("seed", "evaluation.batch_size")

#: Defaults that have changed, as they first were: the keys of records leave out the first ones.
FIRST_DEFAULTS = {"triplets.repeat": False}

#: From prepared data to what a guided student learns from.
TEACHER = ("triplets", "gemini", "teacher_embeddings")

#: Kedro's partitions: what loads each, by its id.
Partitions = Mapping[str, Callable[[], Any]]
Share = Annotated[float, Field(ge=0, le=1)]
Protocol = Literal["equal", "tuned"]
_without_methods = BeforeValidator(partial(validated, methods=()))
AllParameters = Annotated[SerializeAsAny[Parameters], _without_methods]


class Stored(BaseModel):
    """The content of a stored file."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


class Placed(Stored):
    """The content of a file whose place follows from it."""

    @property
    def id(self) -> str:
        """The place where this is stored."""
        raise NotImplementedError


class About(Placed):
    """What is compared on a data set under a protocol.

    Attributes:
        settings: For each method the key of its current settings.
        parameters: What all methods share.
        blocks: For each method its own parameters.
        given: Of these what the command gave, by full names.
        pixel_scores: Of the nearest neighbour on raw pixels.
        robustness: For each of its modules the key of what is measured now.
    """

    data_set: str
    protocol: Protocol
    settings: dict[str, str]
    classes: list[str]
    data_version: str
    parameters: AllParameters
    blocks: dict[str, dict[str, Any]] = {}
    given: dict[str, Any] = {}
    pixel_scores: dict[str, Share]
    robustness: dict[str, str] = {}

    @property
    def variant(self) -> str:
        """What the parameters make of the data set."""
        return variant_of(self.parameters.data)

    @property
    def id(self) -> str:
        """The place where this is stored."""
        return f"{set_of(self.data_set, self.variant)}/{self.protocol}"

    def stored(self) -> dict[str, Any]:
        """Return what its file holds: no method among the parameters, as methods come and go."""
        return self.model_dump(exclude={"parameters": set(METHODS)})

    def is_like(self, other: About) -> bool:
        """Return whether scores depend on the same, but for classes and robustness."""
        both = self.blocks.keys() & other.blocks.keys()
        own = all(self.blocks[method] == other.blocks[method] for method in both)
        return own and _shared(self.parameters) == _shared(other.parameters)


def _shared(parameters: Parameters) -> dict[str, Any]:
    """Return what the scores of any method depend on, but for its own block and the classes."""
    read = frozenset[str]().union(*map(_read_by, METHODS))
    data = parameters.data.model_dump(exclude={"classes"})
    return values_of(parameters, read) | {"data": data, "split_seed": parameters.split_seed}


class GitState(Stored):
    """The code that a run used."""

    commit: str
    dirty: bool


class RunRecord(Placed):
    """One run of a method with one seed. Fields that come later need a default.

    Attributes:
        images_seen: What was trained on, an image as often as it was seen.
        teacher: How far the teacher has converged (``gemini_scores``); empty where there is none.
    """

    data_set: str
    protocol: Protocol
    method: str
    seed: int
    scores: dict[str, Share]
    teacher: dict[str, float] = Field(default_factory=dict)
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
        data_set = set_of(self.data_set, variant_of(self.parameters.data))
        return place(f"{data_set}/{self.protocol}", self.method, self.settings, self.seed)

    def stored(self) -> dict[str, Any]:
        """Return what its file holds: no other method's block, as methods come and go."""
        return self.model_dump(exclude={"parameters": METHODS.keys() - {self.method}})

    @property
    def lacking(self) -> list[str]:
        """The scores that came after this run."""
        return [name for name in SCORES if name not in self.scores]


def variant_of(data: DataParameters) -> str:
    """Return what the parameters make of a data set: a choice of its classes, a long tail."""
    parts, classes = [], data.classes or []
    if classes:
        short = all(len(name) == 1 and name.isalnum() for name in classes)
        parts.append(f"classes_{''.join(classes) if short else hash_of(classes)}")
    if data.imbalance_factor is not None:
        parts.append(f"tail_{data.imbalance_factor:g}")
    return "~".join(parts)


def set_of(data_set: str, variant: str) -> str:
    """Return where everything of a data set is stored, or of what is made of it."""
    return f"{data_set}~{variant}" if variant else data_set


def place(comparison: str, method: str, settings: str, seed: int) -> str:
    """Return where the record of a run is stored."""
    return f"{comparison}/{method}/{settings}/seed_{seed}"


def way(method: str) -> list[str]:
    """Return the pipelines that lead from prepared data to a method's scores."""
    return [*(TEACHER if METHODS[method].follows_teacher else ()), method]


def settings_key(parameters: Parameters, method: str, data_version: str) -> str:
    """Return the key of what a method's pipelines read, and of its prepared data.

    Parameters that came later are not part of it while they have their (first) defaults.
    """
    return hash_of([method, data_version, values_of(parameters, _read_by(method))])


def values_of(parameters: Parameters, inputs: Iterable[str]) -> dict[str, Any]:
    """Return the parameters that steps with such ``inputs`` read, as far as they are no defaults.

    Those on which no score depends are left out.
    """
    values = dict(flat(parameters.model_dump(exclude_defaults=True)))
    values |= {k: value for k, value in flat(parameters.model_dump()) if k in FIRST_DEFAULTS}
    return {
        name: value
        for name, value in read_by(inputs, values).items()
        if name not in NOT_SETTINGS and (name, value) not in FIRST_DEFAULTS.items()
    }


def hash_of(value: Any) -> str:
    """Return a short hash of what JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


@cache
def _read_by(method: str) -> frozenset[str]:
    """Return the inputs that a method's scores depend on."""
    nodes = sum((pipelines[name] for name in way(method)), Pipeline([]))
    return frozenset(nodes.to_outputs(f"{method}.scores").inputs())


def finished(project: Path, run: str) -> RunRecord | None:
    """Return the record of a run by its place, if it is on the scoreboard and sound."""
    return read_stored("score", RunRecord, run, project / SCOREBOARD / f"{run}.json")


_Model = TypeVar("_Model", bound=Placed)


def read_stored(kind: str, model: type[_Model], place: str, file: Path) -> _Model | None:
    """Return a stored file's content by its place, if it is there and sound."""
    if not file.exists():
        return None
    return read(kind, model, place, lambda: json.loads(file.read_text("utf-8")))


def read(kind: str, model: type[_Model], place: str, load: Callable[[], Any]) -> _Model | None:
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
    warn(kind, place, reason)
    return None


@cache
def warn(kind: str, place: str, reason: str) -> None:
    """Warn of a stored file that counts nowhere, once a process."""
    logger.warning("the %s file %s does not count: %s", kind, place, " ".join(reason.split()))
