"""All that was measured of robustness on a data set, the declared outcomes among it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from statistics import fmean

from guided_dml.comparison.board import Comparison
from guided_dml.comparison.names import in_order, section_names
from guided_dml.comparison.records import About
from guided_dml.methods import METHODS
from guided_dml.robustness.names import MODULES

#: A score by method and seed.
Values = dict[str, dict[int, float]]


@dataclass(frozen=True)
class MeasuredSet:
    """What was measured on a data set under a protocol.

    Attributes:
        name: What it is called, unlike the others.
        about: What is compared, whatever the classes trained on.
        whole: The comparison whose networks were trained on all classes.
        splits: Those trained on some of them, with parameters that are equal otherwise.
    """

    name: str
    about: About
    whole: Comparison | None
    splits: list[Comparison]

    @property
    def first(self) -> Comparison:
        """The comparison of all classes, or one of those of some."""
        return self.whole or self.splits[0]

    @property
    def places(self) -> list[str]:
        """Of all its comparisons."""
        return [one.about.id for one in [self.first, *self.splits]]

    @property
    def methods(self) -> list[str]:
        """All methods that have run, in the order of the tables."""
        compared = [*self.comparisons("unseen"), self.first]
        return in_order({method for one in compared for method in one.runs}, METHODS)

    @property
    def modules(self) -> list[str]:
        """The modules of which there are any scores."""
        return [module for module in MODULES if self.scores(module)]

    def comparisons(self, module: str) -> list[Comparison]:
        """Return where a module is measured: unseen classes are those that a choice leaves out."""
        return [self.whole] if self.whole and module != "unseen" else self.splits

    def has(self, method: str, module: str) -> bool:
        """Return whether a module was measured of a method, whatever came out."""
        found = [one.modules.get(method, {}) for one in self.comparisons(module)]
        return all(any(module in of for of in seeds.values()) for seeds in found) and bool(found)

    def scores(self, module: str) -> list[str]:
        """Return the names of a module's scores, in the order in which they are stored."""
        found = [one.pixels for one in self.comparisons(module)]
        for one in self.comparisons(module):
            found += [modules for seeds in one.modules.values() for modules in seeds.values()]
        return list(dict.fromkeys(name for modules in found for name in modules.get(module, {})))

    def values(self, module: str, *scores: str) -> Values:
        """Return a score of all methods, or the mean of several.

        Over several choices of classes it is the mean of those within a seed: they overlap, and so
        are no runs of their own. A seed counts if all of them have the scores.
        """
        found: Values = {}
        for method in self.methods:
            pairs = product(self.comparisons(module), scores)
            parts = [one.module_scores(method, module, score) for one, score in pairs]
            seeds = set.intersection(*map(set, parts)) if parts else set()
            found[method] = {seed: fmean(part[seed] for part in parts) for seed in sorted(seeds)}
        return found

    def pixels(self, module: str, *scores: str) -> float:
        """Return a score of raw pixels likewise; NaN where it was not measured."""
        parts = [one.pixels.get(module, {}) for one in self.comparisons(module)]
        found = [part.get(score, math.nan) for part, score in product(parts, scores)]
        return fmean(found) if found else math.nan


def measured_sets(comparisons: Sequence[Comparison]) -> list[MeasuredSet]:
    """Return what was measured, comparisons that differ only in the classes trained on as one."""
    groups: list[tuple[About, list[Comparison]]] = []
    for one in sorted(comparisons, key=_is_split):
        about, split = _of_all_classes(one.about), _is_split(one)
        groups_of = (group for other, group in groups if _are_equal(about, other, split))
        group = next(groups_of, None)
        if group is None:
            groups.append((about, [one]))
        else:
            group.append(one)
    found, names = [], section_names([about for about, _ in groups])
    for name, (about, group) in zip(names, groups, strict=True):
        splits = [one for one in group if _is_split(one)]
        whole = next((one for one in group if one not in splits), None)
        found.append(MeasuredSet(name, about, whole, splits))
    return found


def _is_split(one: Comparison) -> bool:
    return bool(one.about.parameters.data.classes)


def _of_all_classes(about: About) -> About:
    data = about.parameters.data.model_copy(update={"classes": None})
    parameters = about.parameters.model_copy(update={"data": data})
    return about.model_copy(update={"parameters": parameters})


def _are_equal(one: About, other: About, split: bool) -> bool:
    """Compare what was compared; of robustness class splits measure few-shot episodes only."""
    first, second = one.parameters.robustness, other.parameters.robustness
    alike = first.episodes == second.episodes if split else first == second
    return one.id == other.id and alike and one.is_like(other)
