from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
from scipy import stats
from test_reporting_tables import section_table

from guided_dml.comparison.board import Comparison, read_comparisons
from guided_dml.comparison.sessions import Nested, merged
from guided_dml.methods import METHODS
from guided_dml.pipelines.reporting.curves import few_shot_lines, severity_lines, shift_lines
from guided_dml.pipelines.reporting.measured_sets import measured_sets
from guided_dml.pipelines.reporting.nodes import draw_methods, draw_robustness, write_report
from guided_dml.pipelines.reporting.tables import long_table
from guided_dml.robustness.names import OUTCOMES
from robustness_scores import KEYS, all_modules
from scoreboard import (
    PARAMETERS,
    about,
    abouts,
    by_id,
    measured,
    measured_by_id,
    pixels_of,
    run,
    run_id,
    split_parameters,
)

DASH = "–"  # noqa: RUF001
SPLITS = ("245983", "326940")
CLOSED = tuple(module for module in KEYS if module != "unseen")
TITLES = [outcome.title for outcome in OUTCOMES]

#: Levels of scores by method and seed.
Levels = dict[str, list[float]]


def part(
    levels: Levels,
    modules: tuple[str, ...],
    parameters: Nested = PARAMETERS,
    raw: float = 0.8,
    **changes: Any,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what is compared, and the scoreboard of its runs and of what was measured of them."""
    what = about(parameters=parameters, robustness=KEYS, **changes)
    runs = [
        run(method, seed, level, parameters=parameters)
        for method, of_seeds in levels.items()
        for seed, level in enumerate(of_seeds)
    ]
    places = {run_id(one): all_modules(one["scores"]["nmi"]) for one in runs}
    places |= {pixels_of(what): all_modules(raw, raw=True)}
    records = [
        measured(place, module, found[module])
        for place, found in places.items()
        for module in modules
    ]
    return what, {**by_id(runs), **measured_by_id(*records)}


def compared(*parts: tuple[dict[str, Any], dict[str, Any]]) -> list[Comparison]:
    boards = [board for _, board in parts]
    return read_comparisons(
        abouts(*(what for what, _ in parts)),
        {at: load for board in boards for at, load in board.items()},
    )


def whole(levels: Levels, modules: tuple[str, ...] = CLOSED) -> list[Comparison]:
    return compared(part(levels, modules))


def with_splits(levels: Levels, *others: Levels) -> list[Comparison]:
    splits = [
        part(of, ("unseen",), split_parameters(classes), raw)
        for of, classes, raw in zip(others, SPLITS, (0.8, 0.7), strict=False)
    ]
    return compared(part(levels, CLOSED), *splits)


def test_unseen_classes_are_the_mean_of_the_splits_and_a_seed_counts_if_all_have_it() -> None:
    levels = {"guided": [0.9, 0.8, 0.7]}
    comparisons = with_splits(levels, {"guided": [0.9, 0.8]}, {"guided": [0.8, 0.7, 0.6]})
    (found,) = measured_sets(comparisons)
    assert found.whole is comparisons[0]
    assert found.values("unseen", "auroc_nn") == {"guided": pytest.approx({0: 0.85, 1: 0.75})}
    assert found.pixels("unseen", "auroc_nn") == pytest.approx(0.75)
    assert found.values("maps", "neighbourhood_hit") == {"guided": {0: 0.9, 1: 0.8, 2: 0.7}}
    assert math.isnan(found.pixels("unseen", "no such score"))


def test_other_parameters_are_other_comparisons() -> None:
    levels = {"guided": [0.9]}
    tail = merged(PARAMETERS, {"data": {"imbalance_factor": 10.0}})
    other = merged(split_parameters(SPLITS[0]), {"robustness": {"episodes": 5}})
    same = merged(tail, {"data": {"classes": list(SPLITS[0])}})
    drawn = split_parameters(SPLITS[0]) | {"split_seed": 1}
    parts = [(levels, CLOSED, tail), (levels, ("unseen",), other), (levels, ("unseen",), same)]
    assert len(measured_sets(compared(part(levels, CLOSED), part(levels, ("unseen",), drawn)))) == 2
    comparisons = compared(part(levels, CLOSED), *(part(*one) for one in parts))
    found = measured_sets(comparisons)
    assert [(one.whole is not None, len(one.splits)) for one in found] == [
        (True, 0),
        (True, 1),
        (False, 1),
    ]
    assert found[1].about.variant == "tail_10"
    names = [one.name for one in found]
    assert names == [
        "Digits, equal settings, robustness.episodes=1000",
        "Digits, long tail 10, equal settings",
        "Digits, equal settings, robustness.episodes=5",
    ]
    text = write_report(comparisons)[0]
    assert all(f"## {name}: robustness" in text for name in names)
    table = long_table(comparisons)
    assert set(names) <= set(table["comparison"])
    assert not table.duplicated(["data_set", "comparison", "method", "score"]).any()


def test_splits_belong_to_a_comparison_with_other_corruptions_and_are_told_behind_it() -> None:
    levels = {"guided": [0.9]}
    few = merged(PARAMETERS, {"robustness": {"queries": 5, "families": "contrast"}})
    splits = [part(levels, ("unseen",), split_parameters(some)) for some in SPLITS[:2]]
    comparisons = compared(part(levels, CLOSED, few), *splits)
    (found,) = measured_sets(comparisons)
    assert found.whole is comparisons[0]
    assert found.splits == comparisons[1:]
    titles = re.findall("## (.*)", write_report(comparisons)[0])
    assert ["robustness" in title for title in titles] == [False] * 3 + [True, False]


def test_splits_with_other_settings_of_a_method_are_never_mixed() -> None:
    levels = {"triplet": [0.9]}
    splits = [split_parameters(some) for some in SPLITS]
    margins = [{"triplet": {"margin": margin, "normalise_embeddings": False}} for margin in (1, 3)]
    parts = [
        part(levels, ("unseen",), parameters, blocks=blocks)
        for parameters, blocks in zip(splits, margins, strict=True)
    ]
    found = measured_sets(compared(*parts))
    assert [one.name for one in found] == [
        f"Digits, equal settings, triplet.margin={margin}" for margin in (1, 3)
    ]
    assert [len(one.splits) for one in found] == [1, 1]


def test_what_no_score_depends_on_divides_nothing() -> None:
    aside = {"tracking": False, "page": {"megabytes": 3}, "evaluation": {"batch_size": 7}}
    parts = [
        part({"guided": [0.9]}, CLOSED, merged(PARAMETERS, aside)),
        part({"guided": [0.9]}, ("unseen",), split_parameters(SPLITS[0])),
    ]
    (found,) = measured_sets(compared(*parts))
    assert (found.whole is not None, len(found.splits)) == (True, 1)


def test_what_is_tuned_on_all_classes_has_no_command_for_some() -> None:
    what, one = about(protocol="tuned", robustness=KEYS), run(protocol="tuned")
    maps = measured(run_id(one), "maps", all_modules(0.9)["maps"])
    board = {**by_id([one]), **measured_by_id(maps)}
    text = write_report(read_comparisons(abouts(what), board))[0]
    assert "MAP@R, unseen classes: cannot be known of Guided: " in text
    assert "--class-splits" not in text


def rows_of(text: str, heading: str, first: str) -> list[list[str]]:
    return section_table(text[text.index(heading) :], first)


def test_outcomes_have_intervals_leads_and_holms_p() -> None:
    ours, siamese, margin = [0.91, 0.93, 0.92], [0.90, 0.90, 0.88], [0.70, 0.75, 0.71]
    comparisons = whole({"guided": ours, "siamese": siamese, "margin": margin})
    text = write_report(comparisons)[0]
    header, guided, _, other, raw, *leads = rows_of(text, "declared before", "Method")
    assert header == ["Method", "n", *TITLES]
    half = stats.t.ppf(0.975, 2) * stats.sem(ours)
    assert guided[:3] == ["Guided", "3", f"**{100 * np.mean(ours):.2f} ± {100 * half:.2f}**"]
    assert other[2] == f"72.00 ± {100 * stats.t.ppf(0.975, 2) * stats.sem(margin):.2f}"
    assert raw[:3] == ["Raw pixels (1-NN)", DASH, "80.00"]
    assert [row[0] for row in leads[::2]] == ["Guided minus Siamese", "Guided minus Margin"]
    p = [stats.ttest_rel(ours, theirs).pvalue for theirs in (siamese, margin)]
    assert p[1] < p[0]
    assert leads[1][:3] == ["p (Holm)", "", f"{p[0]:.3f}"]
    assert leads[3][2] == f"{2 * p[1]:.3f}"
    table = long_table(comparisons).set_index(["method", "score"])
    row = table.loc[("margin", "maps.neighbourhood_hit")]
    assert (row["n"], row["p_holm"]) == (3, pytest.approx(2 * p[1]))
    assert ("margin", "unseen.map_at_r") not in table.index


def test_what_was_not_run_is_a_dash_with_the_command_that_runs_it() -> None:
    levels = {"guided": [0.9, 0.8], "margin": [0.7, 0.8]}
    text, latex, terminal = write_report(whole(levels, ("maps",)))
    _, guided, *_ = rows_of(text, "declared before", "Method")
    assert [cell == DASH for cell in guided[2:]] == [False, True, True, True, True, True]
    command = "kedro compare --envs digits --methods guided,margin --seeds 2 "
    assert f"{command}--robustness corruptions,subpopulation" in text
    assert f"{command}--class-splits 245983,326940,583246,378405,634982" in text
    assert "Not measured: corrupted images, out-of-distribution images" in text
    assert "-{}-robustness" in latex
    assert f"{DASH} not run; the report names" in terminal


def test_each_method_is_named_for_what_it_lacks_itself() -> None:
    what, board = part({"guided": [0.9], "margin": [0.8]}, CLOSED)
    for method, module in (("guided", "maps"), ("margin", "corruptions")):
        (place,) = (at for at in board if f"/{method}/" in at and f"/{module}/" in at)
        del board[place]
    text = write_report(compared((what, board)))[0]
    command = "--seeds 1 --robustness"
    for title, name, method, module in (
        ("Neighbourhood hit of the map", "Guided", "guided", "maps"),
        ("Recall@1, corrupted images", "Margin", "margin", "corruptions"),
    ):
        assert f"{DASH} {title}: not run of {name}. To run it" in text
        assert f"kedro compare --envs digits --methods {method} {command} {module}\n" in text


def test_what_cannot_be_known_has_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = all_modules

    def without_five_shots(level: float, **options: bool) -> dict[str, Any]:
        found = everything(level, **options)
        return found | {"unseen": {k: v for k, v in found["unseen"].items() if "5_shot" not in k}}

    monkeypatch.setitem(globals(), "all_modules", without_five_shots)
    levels = {"guided": [0.9, 0.8], "margin": [0.7, 0.8]}
    text = write_report(with_splits(levels, levels))[0]
    assert "5-shot accuracy: cannot be known of Guided, Margin: too few images" in text
    assert "To run it" not in text


def test_the_command_is_that_of_the_methods_and_splits_that_lack_something() -> None:
    guided, margin = {"guided": [0.9]}, {"margin": [0.8]}
    text = write_report(with_splits(guided | margin, guided, guided))[0]
    options = "--methods margin --seeds 1 --class-splits 2+4+5+9+8+3,3+2+6+9+4+0"
    assert "not run of Margin. To run it (--refresh trains those anew whose" in text
    assert f"\n    kedro compare --envs digits {options}\n" in text
    assert "Networks: 50 epochs; resnet18 with the small stem; all images; " in text
    assert "for the methods of a column that were measured" in text
    assert "--robustness" not in text


@pytest.mark.parametrize(
    ("seeds", "lead", "verdict"),
    [
        (5, 0.05, "supported"),
        (5, 0.004, "not supported"),
        (4, 0.05, "cannot tell"),
    ],
)
def test_verdicts_follow_the_rule(seeds: int, lead: float, verdict: str) -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.002, (5, seeds))
    methods = ("siamese", "triplet", "margin", "multi_similarity")
    levels = {method: list(0.8 + part) for method, part in zip(methods, noise, strict=False)}
    levels["guided"] = list(0.8 + lead + noise[4] - (0.004 if lead < 0.01 else 0))
    rows = rows_of(write_report(whole(levels))[0], "by a rule", "The paper's claim")[1:]
    verdicts = {claim: found for claim, found, _ in rows}
    assert list(verdicts.values()) == [verdict, "cannot tell", "cannot tell", verdict]
    assert rows[1][2] == "AUROC, held-out classes: not run"


def test_one_seed_of_one_method_has_no_interval_and_breaks_nothing() -> None:
    comparisons = with_splits({"guided": [0.9]}, {"guided": [0.9]}, {"guided": [0.8]})
    text = write_report(comparisons)[0]
    _, guided, raw = rows_of(text, "declared before", "Method")
    assert guided[:3] == ["Guided", "1", "90.00"]
    assert raw[4] == "75.00"
    robustness = text[text.index(": robustness") : text.index("## Digits, trained on")]
    assert " ± " not in robustness.replace("mean ± half", "")
    assert "nan" not in text
    figures = [*draw_robustness(comparisons), draw_methods(comparisons)[0]]
    assert [len(figure.axes) for figure in figures] == [12, 1, 1, 3]
    assert all(figure.get_suptitle().endswith("one seed") for figure in figures)


def test_of_several_seeds_the_figures_have_intervals() -> None:
    levels = {"guided": [0.9, 0.8]}
    comparisons = with_splits(levels, levels)
    for figure in [*draw_robustness(comparisons), draw_methods(comparisons)[0]]:
        assert figure.get_suptitle().endswith("95 % interval")


def test_families_that_all_stand_apart_have_no_mean_to_be_drawn() -> None:
    comparisons = whole({"guided": [0.9], "margin": [0.8]})
    (one,) = comparisons
    runs = [modules for seeds in one.modules.values() for modules in seeds.values()]
    for modules in (one.pixels, *runs):
        for name in ("drop", "corrupted_recall_at_1", "corrupted_map_at_r"):
            del modules["corruptions"][name]
    severity, shift, _ = draw_robustness(comparisons)
    assert len(severity.axes) == 12
    assert "not measured" in shift.texts[0].get_text()
    assert "Recall@1, clean" in write_report(comparisons)[0]


def test_what_was_never_measured_is_not_told_of_and_drawn_as_a_sentence() -> None:
    comparisons = whole({"guided": [0.9], "margin": [0.8]}, ())
    assert "obustness" not in "".join(write_report(comparisons))
    for figure in draw_robustness(comparisons):
        assert "not measured; kedro compare --" in figure.texts[0].get_text()
    assert not set(long_table(comparisons).score) & {one.name for one in OUTCOMES}


def test_a_choice_of_classes_that_is_not_measured_yet_leaves_dashes() -> None:
    """Another command may be at it while this one reports."""
    levels, (one, other) = {"guided": [0.9]}, map(split_parameters, SPLITS)
    comparisons = compared(part(levels, ("unseen",), one), part(levels, (), other))
    _, guided, *_ = rows_of(write_report(comparisons)[0], "declared before", "Method")
    assert guided[2:] == [DASH] * len(OUTCOMES)
    *_, few = draw_robustness(comparisons)
    assert "not measured; kedro compare --class-splits" in few.texts[0].get_text()


def test_every_module_has_its_tables() -> None:
    levels = {"guided": [0.9, 0.8], "softmax": [0.9, 0.9]}
    text = write_report(with_splits(levels, levels))[0]
    families = rows_of(text, "by family", "Family")
    assert families[0] == ["Family", "Guided", "Softmax (control)", "Raw pixels (1-NN)"]
    assert families[1][0] == "Gaussian noise"
    assert families[1][2:] == ["81.0 ± 0.0", "71.0"]  # (0.9 and 0.8, less 0.09)
    assert len(families) == 13
    for name in ("Photo crops", "MNIST"):
        table = rows_of(text, f"Out-of-distribution images: {name}", "Method")
        assert [*table[0][:4], table[0][-1]] == [
            "Method",
            "n",
            "AUROC, nn",
            "AUROC, knn",
            "Rejected",
        ]
    assert text.count("FPR95: the share of the strange images that the threshold accepts") == 2
    tail = rows_of(text, "the largest class 10 times the smallest", "Method")
    assert tail[0][2:] == ["Recall@1", "Worst class", "Head", "Middle", "Tail"]
    assert tail[2][2:5] == ["90.0 ± 0.0", "82.0 ± 0.0", "88.0 ± 0.0"]
    maps = {row[0]: row[1:] for row in rows_of(text, "Maps of test images", "Method")}
    assert maps["LDA"] == [DASH, "70.0", "90.0", "95.0", "30.0", "70.0", "0.5", "yes"]
    assert maps["PCA"][-1] == maps["Raw pixels (1-NN)"][-1] == "no"
    assert maps["Raw pixels (1-NN)"][:3] == [DASH, "80.0", DASH]
    assert maps["Guided"][-2:] == ["62", "yes"]
    shots = rows_of(text, "among the held-out classes", "Method")
    assert shots[0][-4:] == [f"{count}-shot accuracy" for count in (1, 2, 5, 10)]


def test_variants_are_named_and_stand_beside_no_figures_of_the_paper() -> None:
    tail = merged(PARAMETERS, {"data": {"imbalance_factor": 10.0}})
    levels = {"guided": [0.9]}
    given = {"data.imbalance_factor": 10, "student.backbone": "timm/a b", "compute.threads": None}
    parts = [part(levels, CLOSED), part(levels, CLOSED, tail, given=given)]
    parts += [part(levels, ("unseen",), split_parameters(SPLITS[0]))]
    text = write_report(compared(*parts))[0]
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        "## Digits, equal settings",
        "## Digits, trained on 2 4 5 9 8 3, equal settings",
        "## Digits, equal settings: robustness",
        "## Digits, long tail 10, equal settings",
        "## Digits, long tail 10, equal settings: robustness",
        "## Figures",
    ]
    shown = "data.imbalance_factor=10,student.backbone=timm/a b,compute.threads=null"
    assert f" --params '{shown}' --class-splits" in text
    table = long_table(compared(*parts))
    assert set(table.variant) == {"", "classes_245983", "tail_10"}


def test_no_figures_of_the_paper_stand_beside_a_variant() -> None:
    tail = merged(PARAMETERS, {"data": {"imbalance_factor": 10.0}})
    for parameters, figures in ((PARAMETERS, 1), (tail, 0)):
        what = about("mnist", parameters=parameters)
        board = by_id([run(data_set="mnist", parameters=parameters)])
        comparisons = read_comparisons(abouts(what), board)
        assert write_report(comparisons)[0].count("Beside the paper's figures") == figures
        assert long_table(comparisons).paper.notna().any() == bool(figures)


def test_class_splits_alone_have_their_report() -> None:
    levels = {"guided": [0.9, 0.8], "margin": [0.7, 0.6]}
    parts = [part(levels, ("unseen",), split_parameters(classes)) for classes in SPLITS]
    text = write_report(compared(*parts))[0]
    assert text.count(": robustness") == 1
    assert "trained on 2 4 5 9 8 3; 3 2 6 9 4 0, measured on the others" in text
    _, guided, *_ = rows_of(text, "declared before", "Method")
    assert [cell == DASH for cell in guided[2:]] == [True, True, False, True, False, False]


def test_the_outcomes_fit_into_eighty_columns() -> None:
    levels = {method: [0.5, 0.9, 0.6] for method in METHODS}
    text = write_report(with_splits(levels, levels))[2]
    lines = text.splitlines()
    table = lines[lines.index("Digits, equal settings: robustness, in %") :]
    start = next(i for i, line in enumerate(table) if line.startswith("Method"))
    names = [line.split("  ")[0] for line in table[start + 1 : start + 9]]
    assert names == [*(METHODS[one].title.split(" (")[0] for one in METHODS), "Raw pixels"]
    assert max(map(len, lines)) <= 80


def test_latex_has_as_many_cells_as_columns() -> None:
    levels = {method: [0.9, 0.8] for method in METHODS}
    text = write_report(with_splits(levels, levels))[1]
    assert text.isascii()
    for body in text.split(r"\begin{tabular}{@{}")[1:]:
        columns, rest = body.split("@{}}\n", 1)
        rows = [line for line in rest.split(r"\end{tabular}")[0].splitlines() if " & " in line]
        count = columns.count("l") + columns.count("r") + columns.count("p{")
        assert {line.replace(r"\&", "").count("&") for line in rows} == {count - 1}


def test_lines_have_means_over_seeds_and_raw_pixels_last() -> None:
    comparisons = with_splits({"guided": [0.9, 0.8], "margin": [0.7, 0.7]}, {"guided": [0.9, 0.8]})
    (severity,), (shift,) = severity_lines(comparisons), shift_lines(comparisons)
    assert severity.names == shift.names == ["Guided", "Margin", "Raw pixels (1-NN)"]
    assert severity.colours == [0, 3, -1]
    assert severity.means.shape == (3, 12, 6)
    np.testing.assert_allclose(severity.means[0, 0], 0.85 - 0.03 * np.arange(6))
    assert np.isnan(severity.half_widths[2]).all()
    np.testing.assert_allclose(shift.means[1, 0], [0.7, 0.7 - 0.225])
    (few,) = few_shot_lines(comparisons)
    assert few.title == "Digits, equal settings: trained on 6 classes"
    assert few.names == ["Guided", "Raw pixels (1-NN)"]
    assert few.x.tolist() == [1, 2, 5, 10]
    np.testing.assert_allclose(few.means[0, 0], 0.85 - np.array([0.2, 0.14, 0.1, 0.09]))
