"""What the report says, before it is written as Markdown or LaTeX."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from guided_dml.comparison.board import Comparison
from guided_dml.comparison.names import PROTOCOLS, method_name, setting_name
from guided_dml.comparison.paper import departures, paper_figures
from guided_dml.methods import OURS
from guided_dml.metrics.names import SHOWN, WITHOUT_FLIP_AVERAGE
from guided_dml.metrics.statistics import mean_of
from guided_dml.pipelines.reporting.measured_sets import measured_sets
from guided_dml.pipelines.reporting.outcome_tables import robustness_section
from guided_dml.pipelines.reporting.parts import (
    DASH,
    RAW_PIXELS,
    Bold,
    Section,
    Table,
    percent,
    probability,
    seconds_shown,
    shown,
    spanned,
)
from guided_dml.pipelines.reporting.tables import Row, score_rows

#: The rows of the long table by method and score.
Rows = dict[tuple[str, str], Row]


def sections(comparisons: Sequence[Comparison]) -> list[Section]:
    """Return the report on the runs, and on what was measured of their robustness."""
    found = []
    places = [comparison.about.id for comparison in comparisons]
    measured = {  # (told behind the last of its comparisons)
        max(one.places, key=places.index): one for one in measured_sets(comparisons) if one.modules
    }
    for comparison in comparisons:
        about = comparison.about
        values = {(row["method"], row["score"]): row for row in score_rows(comparison)}
        scores = _scores_table(comparison, values)
        others = [
            _unaveraged_table(comparison),
            _paper_table(comparison, values),
            _tests_table(comparison, values),
        ]
        tables = [scores, *filter(None, others)]
        brief = scores.first_columns(2 + len(SHOWN))
        found.append(Section(comparison.name, _facts(comparison), tables, brief))
        if about.id in measured:
            found.append(robustness_section(measured[about.id]))
    return found


def _facts(comparison: Comparison) -> str:
    about, runs = comparison.about, comparison.all_runs
    counts = sorted({len(some) for some in comparison.runs.values()})
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    missing = [method_name(method) for method in about.settings if method not in comparison.runs]
    commits = sorted({run.git.commit[:10] + "+" * run.git.dirty for run in runs})
    changed = " (+: with changes that were not committed)" * any(run.git.dirty for run in runs)
    return (
        f"{PROTOCOLS[about.protocol]}. "
        f"Queries: the {about.parameters.evaluation.split} images; "
        f"{seeds} {'seed' if counts == [1] else 'seeds'} a method; "
        f"{setting_name(about)}; data version {about.data_version}; "
        f"device: {'; '.join(sorted({run.device for run in runs}))}; "
        f"commit: {', '.join(commits)}{changed}. "
        "Closed set: the queries are of the classes that were trained on."
        + (f" Not run yet: {', '.join(missing)}." if missing else "")
    )


def _scores_table(comparison: Comparison, values: Rows) -> Table:
    best = {}
    for score in SHOWN:
        means = (values[method, score]["mean"] for method in comparison.runs)
        largest = max((mean for mean in means if not math.isnan(mean)), default=math.nan)
        best[score] = round(100 * largest, 2) if len(comparison.runs) > 1 else math.nan
    rows = []
    for method, runs in comparison.runs.items():
        row = [method_name(method), spanned(values[method, score]["n"] for score in SHOWN)]
        for score in SHOWN:
            value = values[method, score]
            text = percent(value["mean"], value["half_width"])
            row.append(Bold(text) if round(100 * value["mean"], 2) == best[score] else text)
        seen = _amount(median(sum(run.images_seen.values()) for run in runs))
        rows.append([*row, seen, seconds_shown(comparison.seconds(method))])
    pixels = [percent(comparison.about.pixel_scores.get(score, math.nan)) for score in SHOWN]
    return Table(
        "Scores in %: mean ± half width of the 95 % Student-t interval over n seeds. Bold: the "
        "best mean. Images seen (student and teacher together) and seconds of a run are "
        "medians (seconds: of runs that were not resumed). Raw pixels (1-NN): the nearest "
        "neighbour without any training.",
        ["Method", "n", *SHOWN.values(), "Images seen", "Seconds"],
        [rows, [[RAW_PIXELS, DASH, *pixels, DASH, DASH]]],
    )


def _unaveraged_table(comparison: Comparison) -> Table | None:
    rows = []
    for method in comparison.runs:
        found = [
            [*comparison.scores(method, score + WITHOUT_FLIP_AVERAGE).values()] for score in SHOWN
        ]
        if all(found):
            texts = [percent(mean.mean, mean.half_width) for mean in map(mean_of, found)]
            rows.append([method_name(method), spanned(map(len, found)), *texts])
    if not rows:
        return None
    return Table(
        "The same networks without flip averaging: each image embedded alone, not as the mean of "
        "itself and its mirror image.",
        ["Method", "n", *SHOWN.values()],
        [rows],
    )


def _paper_table(comparison: Comparison, values: Rows) -> Table | None:
    published, about = paper_figures(), comparison.about
    if about.variant:
        return None
    groups, notes = [], []
    for method in comparison.runs:
        if (about.data_set, method, "recall_at_1") not in published:
            continue
        rows = [[method_name(method), "ours"], ["", "the paper"], ["", "difference"]]
        for score, name in SHOWN.items():
            paper = published[about.data_set, method, score]
            value = values[method, score]
            rows[0].append(percent(value["mean"], value["half_width"]))
            rows[1].append(percent(paper.mean, paper.half_width) + "*" * bool(paper.doubt))
            rows[2].append(percent(value["difference_to_paper"], form="+.2f"))
            if paper.doubt:
                notes.append(f"* {name} of {method_name(method)}: no target, {paper.doubt}.")
        groups.append(rows)
    if not groups:
        return None
    others = "; ".join(departures(about.parameters))
    the_papers = "The paper's images, epochs, backbone and dimension."
    setting = f"Not the paper's setting: {others}." if others else the_papers
    return Table(
        f"Beside the paper's figures (10 runs), with the difference in points. {setting}",
        ["Method", "", *SHOWN.values()],
        groups,
        labels=2,
        notes=notes,
    )


def _tests_table(comparison: Comparison, values: Rows) -> Table | None:
    others = [method for method in comparison.runs if method != OURS]
    if OURS not in comparison.runs or not others:
        return None
    groups = []
    for method in others:
        both = ([comparison.scores(one, score) for one in (OURS, method)] for score in SHOWN)
        shared = [len(ours.keys() & theirs.keys()) for ours, theirs in both]
        count = spanned(shared) if any(shared) else "0"
        rows = [[method_name(method), count, "difference"]]
        rows += [["", "", "p (Holm)"], ["", "", "effect size"]]
        for score in SHOWN:
            value = values[method, score]
            rows[0].append(percent(value["guided_minus"], value["guided_minus_half_width"], "+.2f"))
            rows[1].append(probability(value["p_holm"]))
            rows[2].append(shown(value["effect_size"], "+.2f"))
        groups.append(rows)
    return Table(
        "Guided minus each method over the n seeds that both ran with: mean difference in points "
        "± half width of its 95 % interval; p of the paired t-test after Holm's correction for "
        "the methods of a column that it could be made of; effect size: Cohen's d of the "
        "differences.",
        ["Guided minus", "n", "", *SHOWN.values()],
        groups,
        labels=3,
    )


def _amount(count: float) -> str:
    if count >= 1e6:
        return f"{count / 1e6:.2f} M"
    return f"{count / 1e3:.1f} k" if count >= 1e3 else f"{count:.0f}"
