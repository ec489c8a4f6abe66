"""All that counts of the current comparisons, as the report reads it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import median

from guided_dml.comparison.measurements import Measured, pixels_place
from guided_dml.comparison.names import DATA_SETS, in_order, section_names
from guided_dml.comparison.records import About, Partitions, RunRecord, read, warn
from guided_dml.errors import InputError
from guided_dml.methods import METHODS

#: Scores by the modules that they are of.
Modules = dict[str, dict[str, float]]

#: Steps down to the record of a run, and to what was measured of it.
OF_RUN, OF_MODULE = 4, 6


@dataclass(frozen=True)
class Comparison:
    """All runs that count on a data set under a protocol.

    Attributes:
        name: What it is called, unlike the others.
        about: What is compared.
        runs: For each method that has run, in the order of the tables, its runs by seed.
        modules: What was measured of their robustness, by method and seed.
        pixels: The same of raw pixels.
    """

    name: str
    about: About
    runs: dict[str, list[RunRecord]]
    modules: dict[str, dict[int, Modules]] = field(default_factory=dict)
    pixels: Modules = field(default_factory=dict)

    def scores(self, method: str, score: str) -> dict[int, float]:
        """Return a score of a method's runs by their seeds, without the runs that lack it."""
        runs = self.runs.get(method, [])
        return {run.seed: run.scores[score] for run in runs if score in run.scores}

    def module_scores(self, method: str, module: str, score: str) -> dict[int, float]:
        """Return a score of robustness by the seeds of a method's runs that have it."""
        found = self.modules.get(method, {}).items()
        scores = {seed: modules.get(module, {}) for seed, modules in found}
        return {seed: of_seed[score] for seed, of_seed in scores.items() if score in of_seed}

    def seconds(self, method: str) -> float:
        """Return the median time of a method's runs that were not resumed; NaN if all were."""
        whole = [run.seconds for run in self.runs[method] if not run.resumed]
        return median(whole) if whole else math.nan

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
        scoreboard: ``<data set>/<protocol>/<method>/<settings>/seed_<n>``: all runs ever scored;
            and below some of them ``<module>/<key>``, what was measured of their robustness.

    Raises:
        InputError: There is not a single run to report on.
    """
    found = [read("comparison", About, where, load) for where, load in comparisons.items()]
    abouts = [about for about in found if about]
    for where in scoreboard:
        if where.count("/") not in (OF_RUN, OF_MODULE):
            warn("score", where, "not <data set>/<protocol>/<method>/<settings>/seed_<n>")
    data_sets = in_order({about.data_set for about in abouts}, DATA_SETS)
    abouts.sort(key=lambda about: (about.protocol, data_sets.index(about.data_set), about.variant))
    compared = [(about, runs) for about in abouts if (runs := _runs_of(about, scoreboard))]
    if not compared:
        raise InputError("no score of the current comparison is stored; run `kedro compare`")
    names = section_names([about for about, _ in compared])
    return [
        _comparison(name, about, runs, scoreboard)
        for name, (about, runs) in zip(names, compared, strict=True)
    ]


def _comparison(
    name: str, about: About, runs: dict[str, list[RunRecord]], scoreboard: Partitions
) -> Comparison:
    modules = {
        method: {run.seed: _modules(about, run.id, scoreboard) for run in some}
        for method, some in runs.items()
    }
    pixels = _modules(about, pixels_place(about), scoreboard)
    return Comparison(name, about, runs, modules, pixels)


def _runs_of(about: About, scoreboard: Partitions) -> dict[str, list[RunRecord]]:
    places = sorted(where for where in scoreboard if where.count("/") == OF_RUN)
    runs = {}
    for method in in_order(about.settings, METHODS):
        folder = f"{about.id}/{method}/{about.settings[method]}/"
        chosen = (where for where in places if where.startswith(folder))
        found = [read("score", RunRecord, where, scoreboard[where]) for where in chosen]
        if any(found):
            runs[method] = sorted(filter(None, found), key=lambda run: run.seed)
    return runs


def _modules(about: About, place: str, scoreboard: Partitions) -> Modules:
    places = {name: f"{place}/{name}/{key}" for name, key in about.robustness.items()}
    found = {
        name: read("robustness", Measured, where, scoreboard[where])
        for name, where in places.items()
        if where in scoreboard
    }
    return {name: record.scores for name, record in found.items() if record}
