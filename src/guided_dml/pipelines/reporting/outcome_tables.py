"""What the report says of robustness: the declared outcomes, the verdicts, then every module."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from guided_dml.comparison.names import classes_name, method_name, setting_name
from guided_dml.errors import shown
from guided_dml.methods import OURS
from guided_dml.metrics.statistics import mean_of
from guided_dml.pipelines.reporting.measured_sets import MeasuredSet, Values
from guided_dml.pipelines.reporting.module_tables import module_tables
from guided_dml.pipelines.reporting.parts import (
    DASH,
    RAW_PIXELS,
    Bold,
    Command,
    Section,
    Table,
    percent,
    probability,
    spanned,
)
from guided_dml.robustness.names import (
    CLAIMS,
    MODULES,
    OUTCOMES,
    Outcome,
    class_split,
    class_splits_for,
)
from guided_dml.robustness.verdicts import Lead, leads, verdict

#: The declared outcomes of all methods, and of which methods some are not there.
Outcomes = Mapping[Outcome, Values]
_Lacking = dict[Outcome, list[str]]


def robustness_section(measured: MeasuredSet) -> Section:
    """Return the report on what was measured on a data set under a protocol."""
    outcomes = {one: measured.values(one.module, one.score) for one in OUTCOMES}
    tables = [_outcomes_table(measured, outcomes), _verdicts_table(outcomes)]
    return Section(
        f"{measured.name}: robustness",
        _facts(measured),
        [*tables, *module_tables(measured)],
        _brief_table(measured, outcomes),
    )


def _facts(measured: MeasuredSet) -> str:
    facts = (
        f"Networks: {setting_name(measured.about)}. "
        "Queries are test images, references all training images as they are; nothing is chosen on "
        "shifted or out-of-distribution images. Intervals run over training seeds. Raw pixels "
        "(1-NN) are measured like the methods, without any training."
    )
    splits = [one.about.parameters.data.classes or [] for one in measured.splits]
    if splits:
        names = "; ".join(map(classes_name, splits))
        facts += f" Held-out classes: trained on {names}, measured on the others"
        facts += ", the mean within a seed." if len(splits) > 1 else "."
    missing = [title for module, title in MODULES.items() if module not in measured.modules]
    facts += f" Not measured: {', '.join(missing).lower()}." if missing else ""
    return facts + (
        " All corruptions, the plane with out-of-distribution images, their distances, and the map "
        "beside PCA, LDA and NCA are drawn of one network, by kedro run --pipelines=robustness."
    )


def _outcomes_table(measured: MeasuredSet, outcomes: Outcomes) -> Table:
    caption = (
        "The outcomes that were declared before anything was measured, in %: mean ± half width of "
        "the 95 % Student-t interval over n seeds; larger is better."
    )
    groups = _outcome_rows(measured, outcomes, ".2f")
    others = [method for method in measured.methods if method != OURS]
    if others and OURS in measured.methods:
        groups += _lead_rows(outcomes, others)
        caption += (
            f" Bold: the best mean of a method. Below, {method_name(OURS)} minus each other method "
            "in points, paired over the seeds that both have, and p of the paired t-test after "
            "Holm's correction for the methods of a column that were measured."
        )
    return Table(
        caption,
        ["Method", "n", *(outcome.title for outcome in OUTCOMES)],
        groups,
        notes=_not_run(measured, outcomes),
    )


def _brief_table(measured: MeasuredSet, outcomes: Outcomes) -> Table:
    """Return the outcomes in 80 columns."""
    rows = [
        [name.split(" (")[0], *values]
        for group in _outcome_rows(measured, outcomes, ".1f")
        for name, _, *values in group
    ]
    missing = any(DASH in row for row in rows)
    notes = ["", f"{DASH} not run; the report names the command that does"] if missing else []
    return Table("", ["Method", *(outcome.title for outcome in OUTCOMES)], [rows], notes=notes)


def _outcome_rows(measured: MeasuredSet, outcomes: Outcomes, form: str) -> list[list[list[str]]]:
    """Return a row for each method, and apart from them one for raw pixels."""
    means = {
        outcome: {method: mean_of([*seeds.values()]) for method, seeds in values.items()}
        for outcome, values in outcomes.items()
    }
    rows = [
        [method_name(method), spanned(of[method].n for of in means.values())]
        for method in measured.methods
    ]
    for of in means.values():
        texts = {method: percent(mean.mean, form=form) for method, mean in of.items()}
        known = {method: mean.mean for method, mean in of.items() if mean.n}
        best = texts[max(known, key=lambda method: known[method])] if len(known) > 1 else None
        for row, (method, mean) in zip(rows, of.items(), strict=True):
            text = percent(mean.mean, mean.half_width, form)
            row.append(Bold(text) if texts[method] == best else text)
    raw = [percent(measured.pixels(one.module, one.score), form=form) for one in OUTCOMES]
    return [rows, [[RAW_PIXELS, DASH, *raw]]]


def _lead_rows(outcomes: Outcomes, others: list[str]) -> list[list[list[str]]]:
    found = [leads(values) for values in outcomes.values()]
    return [
        [
            [
                f"{method_name(OURS)} minus {method_name(method)}",
                spanned(of[method].test.difference.n for of in found),
                *(_lead(of[method]) for of in found),
            ],
            ["p (Holm)", "", *(probability(of[method].p_holm) for of in found)],
        ]
        for method in others
    ]


def _lead(lead: Lead) -> str:
    difference = lead.test.difference
    return percent(difference.mean, difference.half_width, "+.2f")


def _verdicts_table(outcomes: Outcomes) -> Table:
    rows = []
    for claim, title in CLAIMS.items():
        of_claim = {
            outcome.title: {method: seeds for method, seeds in values.items() if seeds}
            for outcome, values in outcomes.items()
            if outcome.claim == claim
        }
        found = verdict(of_claim)
        rows.append([_sentence(title), found.verdict, _sentence(found.reason)])
    return Table(
        "What may be said of the paper's claims, by a rule that was fixed before. Supported: "
        f"{method_name(OURS)} is ahead of all of the paper's baselines in every outcome of the "
        "claim, Holm p < 0.05; not supported: the interval of its lead over one of them ends below "
        "one point; else, and below five seeds, nothing can be told.",
        ["The paper's claim", "Verdict", "Why"],
        [rows],
        labels=3,
    )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _not_run(measured: MeasuredSet, outcomes: Outcomes) -> list[str]:
    """Return for what is not there of some methods why, or the command that runs it."""
    splits, unknown, lacking = _class_splits(measured), _Lacking(), _Lacking()
    for outcome, values in outcomes.items():
        never = outcome.module == "unseen" and not splits
        for method in [method for method, seeds in values.items() if not seeds]:
            found = unknown if never or measured.has(method, outcome.module) else lacking
            found.setdefault(outcome, []).append(method)
    notes = [
        f"{DASH} {outcome.title}: cannot be known of {', '.join(map(method_name, methods))}: too "
        "few images, classes or families of corruptions, or settings tuned on all classes."
        for outcome, methods in unknown.items()
    ]
    # (what the same methods lack is one command, but for unseen classes, which have their own)
    together: dict[tuple[bool, tuple[str, ...]], list[Outcome]] = {}
    for outcome, methods in lacking.items():
        together.setdefault((outcome.module == "unseen", tuple(methods)), []).append(outcome)
    for (unseen, whose), some in together.items():
        modules = dict.fromkeys(outcome.module for outcome in some)
        option = splits if unseen else f"--robustness {','.join(modules)}"
        titles = [outcome.title for outcome in some]
        notes += _command(measured, option, whose, titles, unseen)
    return notes


def _class_splits(measured: MeasuredSet) -> str:
    about = measured.first.about
    if about.protocol == "tuned":
        return ""
    chosen = [one.about.parameters.data.classes or [] for one in measured.splits]
    every = measured.whole.about.classes if measured.whole else []
    splits = [class_split(some, every) for some in chosen]
    splits = splits or class_splits_for(about.data_set, about.classes)
    return f"--class-splits {shlex.quote(','.join(splits))}" if splits else ""


def _command(
    measured: MeasuredSet, option: str, methods: Sequence[str], titles: Sequence[str], unseen: bool
) -> tuple[str, Command]:
    about = measured.about
    compared = (measured.splits if unseen else []) or [measured.first]
    seeds = 1 + max(run.seed for one in compared for run in one.all_runs)
    parts = [f"kedro compare --envs {about.data_set} --methods {','.join(methods)}"]
    parts += [f"--seeds {seeds}"]
    parts += [f"--protocol {about.protocol}"] if about.protocol != "equal" else []
    given = ",".join(f"{k}={shown(v)}" for k, v in about.given.items() if k != "data.classes")
    parts += [f"--params {shlex.quote(given)}"] if given else []
    whose = ", ".join(map(method_name, methods))
    sentence = (
        f"{DASH} {'; '.join(titles)}: not run of {whose}. To run it (--refresh trains those anew "
        "whose networks are not there):"
    )
    return sentence, Command(" ".join([*parts, option]))
