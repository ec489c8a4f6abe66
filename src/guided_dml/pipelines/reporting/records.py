"""The records of a comparison, checked: which runs count, and what each of them says."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Annotated, Any, Literal, TypeVar

from kedro.io import DatasetError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from guided_dml.errors import InputError
from guided_dml.metrics.names import SCORES
from guided_dml.pipelines.reporting.names import DATA_SETS, METHODS, PROTOCOLS, in_order

logger = logging.getLogger(__name__)

#: Kedro's partitions: what loads each, by its id.
Partitions = Mapping[str, Callable[[], Any]]
Share = Annotated[float, Field(ge=0, le=1)]
Protocol = Literal["equal", "tuned"]


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
    parameters: dict[str, Any]
    pixel_scores: dict[str, Share]


class ImagesSeen(_Stored):
    """The images that a run trained on, each as often as it was seen."""

    student: int
    teacher: int


class GitState(_Stored):
    """The code that a run used."""

    commit: str
    dirty: bool


class Run(_Stored):
    """One run of a method with one seed, as the scoreboard keeps it."""

    data_set: str
    protocol: Protocol
    method: str
    seed: int
    settings: str
    scores: dict[str, Share]
    queries: Literal["test", "validation"]
    images_seen: ImagesSeen
    seconds: Annotated[float, Field(ge=0)]
    resumed: bool = False
    peak_memory_mb: Annotated[float, Field(ge=0)]
    parameters: dict[str, Any]
    data_version: str
    git: GitState
    device: str
    libraries: dict[str, str]
    finished: str

    @field_validator("scores")
    @classmethod
    def _all_there(cls, scores: dict[str, float]) -> dict[str, float]:
        missing = [name for name in SCORES if name not in scores]
        if missing:
            raise ValueError(f"no {', '.join(missing)}")
        return scores

    @property
    def id(self) -> str:
        """The partition that this run belongs in."""
        place = f"{self.data_set}/{self.protocol}/{self.method}/{self.settings}"
        return f"{place}/seed_{self.seed}"


@dataclass(frozen=True)
class Comparison:
    """All runs that count on a data set under a protocol.

    Attributes:
        about: What is compared.
        runs: For each method that has run, in the order of the tables, its runs by seed.
    """

    about: About
    runs: dict[str, list[Run]]

    def seconds(self, method: str) -> float:
        """The median time of a method's runs, without those that went on from a checkpoint."""
        runs = self.runs[method]
        return median(run.seconds for run in [r for r in runs if not r.resumed] or runs)

    @property
    def all_runs(self) -> list[Run]:
        """The runs of all methods."""
        return [run for runs in self.runs.values() for run in runs]


def read_comparisons(comparisons: Partitions, scoreboard: Partitions) -> list[Comparison]:
    """Return what is compared now, the equal protocol first.

    Runs with other settings than the current ones are left out silently: they belong to an
    earlier comparison. A file that is damaged or does not fit its place is left out with a
    warning.

    Args:
        comparisons: ``<data set>/<protocol>``: which settings are the current ones.
        scoreboard: ``<data set>/<protocol>/<method>/<settings>/seed_<n>``: all runs ever scored.

    Raises:
        InputError: There is not a single run to report on.
    """
    runs: dict[tuple[str, str], list[Run]] = {}
    abouts: dict[tuple[str, str], About] = {
        (about.data_set, about.protocol): about
        for place, about in _read(comparisons, "comparison", About)
        if _fits(place, f"{about.data_set}/{about.protocol}", "comparison")
    }
    current = {place: load for place, load in scoreboard.items() if _is_current(place, abouts)}
    for place, run in _read(current, "score", Run):
        about = abouts[run.data_set, run.protocol] if _fits(place, run.id, "score") else None
        if about and run.data_version != about.data_version:
            _skip("score", place, f"of other data, {run.data_version}, not {about.data_version}")
        elif about:
            runs.setdefault((run.data_set, run.protocol), []).append(run)
    if not runs:
        raise InputError("no score of the current comparison is stored; run `kedro compare`")
    keys = sorted(runs, key=lambda key: (list(PROTOCOLS).index(key[1]), _rank(key[0])))
    return [Comparison(abouts[key], _by_method(runs[key])) for key in keys]


def _is_current(place: str, abouts: Mapping[tuple[str, str], About]) -> bool:
    """Tell by a partition's id whether it has to be read."""
    parts = place.split("/")
    if len(parts) != 5:
        _skip("score", place, "not <data set>/<protocol>/<method>/<settings>/seed_<n>")
        return False
    data_set, protocol, method, settings, _ = parts
    about = abouts.get((data_set, protocol))
    return about is not None and about.settings.get(method) == settings


_Model = TypeVar("_Model", About, Run)


def _read(partitions: Partitions, kind: str, model: type[_Model]) -> Iterator[tuple[str, _Model]]:
    for place, load in sorted(partitions.items()):
        try:
            yield place, model.model_validate(load())
        except DatasetError as error:
            _skip(kind, place, f"cannot be read: {error.__cause__ or error}")
        except ValidationError as error:
            faults = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
            _skip(kind, place, "; ".join(faults[:3]))


def _fits(place: str, expected: str, kind: str) -> bool:
    if place != expected:
        _skip(kind, place, f"its content is that of {expected}")
    return place == expected


def _skip(kind: str, place: str, reason: str) -> None:
    logger.warning("left out the %s file %s: %s", kind, place, " ".join(reason.split()))


def _rank(data_set: str) -> tuple[int, str]:
    known = list(DATA_SETS)
    return (known.index(data_set) if data_set in known else len(known), data_set)


def _by_method(runs: list[Run]) -> dict[str, list[Run]]:
    return {
        method: sorted((run for run in runs if run.method == method), key=lambda run: run.seed)
        for method in in_order({run.method for run in runs}, METHODS)
    }
