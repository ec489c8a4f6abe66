from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kedro.io import DatasetError
from pydantic import create_model

from guided_dml.blocks import Block, StudentParameters
from guided_dml.comparison.board import read_comparisons
from guided_dml.comparison.records import RunRecord, settings_key
from guided_dml.comparison.sessions import merged
from guided_dml.errors import InputError
from guided_dml.methods import METHODS
from guided_dml.metrics.names import SCORES
from guided_dml.parameters import validated
from scoreboard import PARAMETERS, about, abouts, by_id, key, partitions, run


def damaged() -> Any:
    try:
        raise ValueError("Expecting value: line 1")
    except ValueError as error:
        raise DatasetError("Failed while loading data") from error


def test_runs_are_in_the_order_of_the_tables_and_of_their_seeds() -> None:
    runs = [run(method, seed) for method in ("softmax", "margin", "guided") for seed in (10, 2)]
    (comparison,) = read_comparisons(abouts(about()), by_id(runs))
    assert list(comparison.runs) == ["guided", "margin", "softmax"]
    assert [one.seed for one in comparison.runs["guided"]] == [2, 10]


def test_the_equal_protocol_comes_first_and_known_data_sets_before_others() -> None:
    places = [
        ("cells", "equal"),
        ("mnist", "tuned"),
        ("mnist", "equal"),
        ("digits", "tuned"),
        ("digits", "equal"),
    ]
    found = read_comparisons(
        abouts(*(about(*place) for place in places)),
        by_id(run(data_set=data_set, protocol=protocol) for data_set, protocol in places),
    )
    assert [(one.about.data_set, one.about.protocol) for one in found] == [
        ("digits", "equal"),
        ("mnist", "equal"),
        ("cells", "equal"),
        ("digits", "tuned"),
        ("mnist", "tuned"),
    ]


def test_a_run_counts_whatever_other_methods_come_and_go() -> None:
    known = {name: block for name, block in PARAMETERS.items() if name not in METHODS}
    parameters = known | {"margin": PARAMETERS["margin"]}
    (comparison,) = read_comparisons(
        abouts(about() | {"parameters": known}),
        by_id([run("margin", parameters=parameters)]),
    )
    assert list(comparison.runs) == ["margin"]


def test_other_settings_and_comparisons_are_left_out_silently_and_unread(
    warned: list[str],
) -> None:
    other = merged(PARAMETERS, {"student": {"epochs": 3}})
    old = by_id([run(seed=0, parameters=other), run(data_set="mnist")])
    board = {**by_id([run(seed=1)]), **dict.fromkeys(old, damaged)}
    (comparison,) = read_comparisons(abouts(about(), about("cifar10")), board)
    assert [one.seed for one in comparison.all_runs] == [1]
    assert not warned


EDITED = {"student": {"epochs": 77}}


def without(record: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != name}


@pytest.mark.parametrize(
    ("load", "reason"),
    [
        (damaged, "cannot be read: Expecting value"),
        (lambda: [1, 2], "valid dictionary"),
        (lambda: without(run(), "seconds"), "seconds: Field required"),
        (lambda: run(scores=dict.fromkeys(SCORES, 1.5)), "less than or equal to 1"),
        (lambda: run(scores=dict.fromkeys(SCORES, float("nan"))), "finite"),
        (lambda: run(seed=5), f"its content is that of digits/equal/guided/{key('guided')}/seed_5"),
        (lambda: run(data_version="d0"), "its content is that of digits/equal/guided/"),
        (lambda: run("margin"), "its content is that of digits/equal/margin/"),
        (lambda: run(parameters=PARAMETERS | {"seed": -1}), "seed: -1 given; must be greater"),
        (lambda: run(parameters=merged(PARAMETERS, EDITED)), "its content is that of"),
    ],
)
def test_a_file_that_does_not_fit_is_left_out_with_one_warning(
    load: Callable[[], Any], reason: str, warned: list[str]
) -> None:
    place = f"digits/equal/guided/{key('guided')}/seed_0"
    board = {**by_id([run(seed=1)]), place: load}
    (comparison,) = read_comparisons(abouts(about()), board)
    assert [one.seed for one in comparison.all_runs] == [1]
    (message,) = warned
    assert place in message
    assert reason in message


def test_a_foreign_file_is_named(warned: list[str]) -> None:
    board = {**by_id([run()]), **partitions({"notes": {}})}
    read_comparisons(abouts(about()), board)
    (message,) = warned
    assert "the score file notes does not count" in message


def test_a_damaged_comparison_leaves_the_others(warned: list[str]) -> None:
    broken = {**abouts(about()), **partitions({"mnist/equal": about("cifar10")})}
    (comparison,) = read_comparisons(broken, by_id([run(), run(data_set="mnist")]))
    assert comparison.about.data_set == "digits"
    (message,) = warned
    assert "the comparison file mnist/equal does not count" in message


def test_no_run_at_all_ends_in_one_message() -> None:
    old = run("triplet", parameters=merged(PARAMETERS, {"seed": 1, "student": {"epochs": 3}}))
    with pytest.raises(InputError, match="run `kedro compare`"):
        read_comparisons(abouts(about()), by_id([old]))


def test_a_key_depends_on_what_the_method_reads_and_on_nothing_else() -> None:
    def key(method: str, data: str = "d", **change: Any) -> str:
        return settings_key(validated(merged(PARAMETERS, change)), method, data)

    assert key("triplet") == key("triplet", seed=3) == key("triplet", tracking=False)
    assert key("triplet") == key("triplet", gemini={"epochs": 2}, siamese={"margin": 1.0})
    assert key("triplet") == key("triplet", evaluation={"batch_size": 7}, split_seed=4)
    assert key("guided") == key("guided", page={"megabytes": 5})
    assert key("guided") != key("guided", gemini={"epochs": 2})
    assert key("triplet") != key("triplet", triplet={"margin": 1.0})
    assert key("triplet") != key("triplet", student={"epochs": 2})
    assert key("triplet") != key("triplet", data="e")
    assert key("triplet") != key("margin")
    assert key("triplet") != key("triplet", evaluation={"split": "validation"})
    assert key("triplet") != key("triplet", compute={"threads": 2})


def test_parameters_that_come_later_change_a_key_only_where_they_change_a_run() -> None:
    class LaterBlock(Block):
        strength: float = 0.5

    class LaterStudent(StudentParameters):
        augmentation: LaterBlock = LaterBlock()
        dropout: float = 0.0

    blocks: dict[str, Any] = {
        "student": (LaterStudent, ...),
        "archive": (LaterBlock, ...),
        "export": (LaterBlock, LaterBlock()),
    }
    now = type(validated(PARAMETERS))
    later_model = create_model("Later", __base__=now, **blocks)

    def key(**change: Any) -> str:
        later = merged(PARAMETERS, {"archive": {}}, change)
        return settings_key(later_model.model_validate(later), "guided", "d")

    before = settings_key(validated(PARAMETERS), "guided", "d")
    assert before == key() == key(archive={"strength": 1.0}, export={"strength": 1.0})
    assert before == key(student={"augmentation": {"strength": 0.5}, "dropout": 0.0})
    assert before != key(student={"augmentation": {"strength": 1.0}})
    assert before != key(student={"dropout": 0.1})


def test_the_published_records_still_count() -> None:
    published = Path(__file__).parents[2] / "docs/reports/records"
    files = list(published.glob("*/equal/*/*/seed_*.json"))
    assert len({file.parts[-3] for file in files}) == len(METHODS)
    for file in files:
        record = RunRecord.model_validate_json(file.read_text("utf-8"))
        assert file == published / f"{record.id}.json"
