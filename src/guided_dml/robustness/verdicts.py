"""What the measurements say of the paper's claims, by a rule that was fixed before."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

from guided_dml.errors import counted
from guided_dml.methods import METHODS, OURS
from guided_dml.metrics.statistics import PairedTest, holm, paired_test

#: Those that the paper compares its method with.
BASELINES = ("siamese", "triplet", "margin", "multi_similarity")

#: Seeds that both methods need before anything is said.
SEEDS = 5

#: What a corrected p has to stay below, and the lead that an interval has to leave possible.
SIGNIFICANT, ONE_POINT = 0.05, 0.01

#: The values of an outcome: method, then seed, then value; larger is better.
Runs = Mapping[str, Mapping[int, float]]


class Lead(NamedTuple):
    """What guided is ahead of a method in an outcome.

    Attributes:
        test: Guided minus the method, over the seeds that both ran with.
        p_holm: Its p, corrected for all methods of the outcome; NaN below two seeds.
    """

    test: PairedTest
    p_holm: float

    @property
    def surely(self) -> bool:
        """Whether guided is ahead, and that is significant."""
        return self.test.difference.mean > 0 and self.p_holm < SIGNIFICANT

    @property
    def at_most_a_point(self) -> bool:
        """Whether the interval of the lead ends below one point."""
        return self.test.difference.mean + self.test.difference.half_width < ONE_POINT


class Verdict(NamedTuple):
    """What may be said of a claim, and why."""

    verdict: Literal["supported", "not supported", "cannot tell"]
    reason: str


def leads(runs: Runs) -> dict[str, Lead]:
    """Compare guided with every other method, controls included, in one outcome."""
    ours = runs.get(OURS, {})
    tests = {}
    for method, theirs in runs.items():
        if method != OURS:
            seeds = sorted(ours.keys() & theirs.keys())
            values = ([some[seed] for seed in seeds] for some in (ours, theirs))
            tests[method] = paired_test(*values)
    corrected = holm([test.p for test in tests.values()])
    return {
        method: Lead(test, p) for (method, test), p in zip(tests.items(), corrected, strict=True)
    }


def verdict(outcomes: Mapping[str, Runs]) -> Verdict:
    """Judge a claim by its outcomes.

    It is supported if guided is ahead of all four of the paper's baselines with Holm p < 0.05 in
    every outcome; else not supported if in one outcome the interval of its lead over one of them
    ends below one point. Otherwise, and where an outcome, a baseline or five common seeds are
    missing, nothing can be told.

    Args:
        outcomes: What each outcome of the claim is called, to the values of all methods that were
            run (without raw pixels, which no seed changes); an outcome that was not run is empty.
    """
    found = {title: leads(runs) for title, runs in outcomes.items()}
    lacks = {title: _lack(runs, found[title]) for title, runs in outcomes.items()}
    if any(lacks.values()):
        missing = (f"{title}: {lack}" for title, lack in lacks.items() if lack)
        return Verdict("cannot tell", "; ".join(missing))
    if not found:
        return Verdict("cannot tell", "no outcome was declared")
    open_to_doubt = _those(found, lambda lead: not lead.surely)
    if not open_to_doubt:
        return Verdict("supported", f"ahead of all {len(BASELINES)} baselines, Holm p < 0.05")
    behind = _those(found, lambda lead: lead.at_most_a_point)
    if behind:
        return Verdict("not supported", _told("less than a point ahead of", behind))
    return Verdict("cannot tell", _told("not surely ahead of", open_to_doubt))


def _those(
    found: Mapping[str, Mapping[str, Lead]], fits: Callable[[Lead], bool]
) -> dict[str, list[str]]:
    """Return the baselines that guided has such a lead over, by the outcomes that have some."""
    chosen = {
        title: [method for method in BASELINES if fits(tested[method])]
        for title, tested in found.items()
    }
    return {title: methods for title, methods in chosen.items() if methods}


def _told(what: str, methods: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{title}: {what} {_listed(names)}" for title, names in methods.items())


def _lack(runs: Runs, tested: Mapping[str, Lead]) -> str:
    """Return what has to be run of an outcome before anything can be told, or nothing."""
    lacking = [method for method in (OURS, *BASELINES) if method not in runs]
    if not runs:
        return "not run"
    if lacking:
        return f"not run for {_listed(lacking)}"
    least = min(BASELINES, key=lambda method: tested[method].test.difference.n)
    seeds = tested[least].test.difference.n
    if seeds < SEEDS:
        return f"{counted(seeds, 'seed')} in common with {_listed([least])}; {SEEDS} are needed"
    if any(math.isnan(tested[method].p_holm) for method in BASELINES):
        return "values are not finite"
    return ""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(METHODS[name].title for name in names)
