"""Tuning on a real cluster: trials, their storage, and the settings that come out."""

from __future__ import annotations

import os
import socket
import sqlite3
from contextlib import closing
from math import inf
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml

from conftest import PROJECT, SMALL, refusal
from guided_dml.comparison.plan import plan_data_set
from guided_dml.comparison.sessions import merged
from guided_dml.comparison.tune import COMMON, COMMON_OF_MUON, STORAGE, tune
from guided_dml.comparison.tuned import Found, read_tuned, why_kept, write_tuned
from guided_dml.errors import InputError
from guided_dml.methods import METHODS
from guided_dml.parameters import flat, validated


def tuned(
    project: Path, scheduler: str | None, trials: int, replace: bool = False, **change: Any
) -> tuple[Path, list[str]]:
    said: list[str] = []
    settings = merged(SMALL, change)
    arguments = (project, "digits", "margin", trials, settings, None, scheduler)
    return tune(*arguments, said.append, replace), said


def only_study(project: Path) -> optuna.Study:
    storage = f"sqlite:///{project / STORAGE}"
    (name,) = optuna.get_all_study_names(storage)
    return optuna.load_study(study_name=name, storage=storage)


def test_tuning_goes_on_and_writes_the_best_settings(
    project: Path, scheduler: str, raw_parameters: dict[str, Any]
) -> None:
    file, said = tuned(project, scheduler, 2)
    assert said[0] == "margin on digits: 0 trials before, 2 to do"
    study = only_study(project)
    own = study.trials[0].params
    assert own["margin.beta"] == raw_parameters["margin"]["beta"]
    assert own["student.learning_rate"] == raw_parameters["student"]["learning_rate"]
    killed = study.ask(
        {"student.learning_rate": optuna.distributions.FloatDistribution(0.01, 1.0, log=True)}
    )
    gone = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(gone, 0)
    killed.set_user_attr("of", (socket.gethostname(), gone))
    _, said = tuned(project, scheduler, 4)
    assert said[0] == "margin on digits: 2 trials before, 2 to do"
    study = only_study(project)
    assert study.trials[3].params["student.learning_rate"] == killed.params["student.learning_rate"]
    assert all(
        set(trial.params) == set(COMMON | METHODS["margin"].ranges) for trial in study.trials[:2]
    )

    settings = yaml.safe_load(file.read_text())
    best = study.best_trial.params
    assert settings["margin"]["beta"] == best["margin.beta"]
    assert settings["student"]["learning_rate"] == best["student.learning_rate"]
    assert settings["found"]["trials"] == 4
    assert settings["found"]["score"] == study.best_value
    assert settings["found"]["parameters"] == SMALL
    assert said[-1] == "written: conf/digits/tuned/margin.yml"
    assert not list(project.glob("data/08_reporting/comparison/current/*"))
    (planned,) = plan_data_set(project, "digits", "tuned", ["margin"], 1, SMALL).runs
    assert planned.parameters["margin"] == settings["margin"]


def test_settings_found_otherwise_or_by_fewer_trials_do_not_replace(
    project: Path, scheduler: str
) -> None:
    file, said = tuned(project, scheduler, 1, student={"epochs": 1})
    assert "fewer than 10 trials are a random search" in said[1]
    before = file.read_text()
    _, said = tuned(project, scheduler, 1)
    assert file.read_text() == before
    assert "stays as it is: it was found with other parameters" in said[-1]
    assert "--replace writes these" in said[-1]
    _, said = tuned(project, scheduler, 1, replace=True)
    assert said[-1].startswith("written")
    assert file.read_text() != before


def test_settings_say_with_which_recipe_they_were_found(project: Path, scheduler: str) -> None:
    recipes = project / "conf" / "digits" / "recipes"
    recipes.mkdir()
    (recipes / "mine.yml").write_text("student: {momentum: 0.5}")
    (recipes.parent / "parameters.yml").write_text("recipe: mine")
    file, _ = tuned(project, scheduler, 1)
    assert yaml.safe_load(file.read_text())["found"]["parameters"] == {"recipe": "mine"} | SMALL
    assert plan_data_set(project, "digits", "tuned", ["margin"], 1, SMALL).runs


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        ({}, ""),
        ({"trials": 4}, ""),
        ({"trials": 6}, "it has MAP@R 90.00 in 6 trials, these have MAP@R 90.00 in 5 trials"),
        ({"score": 0.9001}, "it has MAP@R 90.01 in 5 trials"),
        ({"shared": "other"}, "found with other parameters ({}) or data"),
    ],
)
def test_what_replaces_stored_settings(tmp_path: Path, stored: dict[str, Any], reason: str) -> None:
    found = Found(score=0.9, trials=5, shared="key", parameters={}, data_version="d", commit="c")
    file = tmp_path / "margin.yml"
    assert not why_kept(file, found)
    write_tuned(file, {"margin": {"beta": 0.3}}, found.model_copy(update=stored))
    assert read_tuned(file)[0] == {"margin": {"beta": 0.3}}
    assert reason in why_kept(file, found)
    assert bool(why_kept(file, found)) == bool(reason)


def test_settings_by_hand_are_read_and_never_replaced(tmp_path: Path) -> None:
    file = tmp_path / "margin.yml"
    file.write_text("margin: {beta: 0.3}")
    assert read_tuned(file) == ({"margin": {"beta": 0.3}}, None)
    found = Found(score=0.9, trials=5, shared="key", parameters={}, data_version="d", commit="c")
    assert "does not say how" in why_kept(file, found)


@pytest.mark.parametrize("content", ["margin: {", "", "[1]", "found: 3", "found: {score: 2}"])
def test_a_damaged_file_of_settings_is_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "margin.yml"
    file.write_text(content)
    with pytest.raises(InputError, match=r"margin.yml: not as kedro tune writes it"):
        read_tuned(file)


def test_a_database_that_cannot_be_used_is_one_message(project: Path) -> None:
    database = project / STORAGE
    database.parent.mkdir(parents=True)
    database.write_bytes(b"no database" * 1000)
    with pytest.raises(InputError, match=r"tuning.db.*file is not a database"):
        tuned(project, None, 1)
    database.unlink()
    with closing(sqlite3.connect(database)) as another:
        another.execute("begin exclusive")
        with pytest.raises(InputError, match=r"tuning.db.*database is locked; if another command"):
            tuned(project, None, 1)
    database.unlink()
    optuna.create_study(storage=f"sqlite:///{database}")
    with closing(sqlite3.connect(database)) as another, another:
        another.execute("update alembic_version set version_num = 'v0.9.0.a'")
    with pytest.raises(InputError, match=r"tuning.db.*no longer compatible with the table schema"):
        tuned(project, None, 1)


def test_trials_that_diverge_count_and_write_nothing(project: Path, scheduler: str) -> None:
    diverging = merged(SMALL, {"gemini": {"learning_rate": 1e30}})
    with pytest.raises(InputError, match="every trial failed"):
        tune(project, "digits", "guided", 2, diverging, None, scheduler, say=lambda _: None)
    assert len(only_study(project).trials) == 2
    assert not list(project.glob("conf/digits/tuned/*"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--env", "imagenet", "--method", "margin"], "unknown data set 'imagenet'"),
        (["--env", "digits", "--method", "fourier"], "unknown method 'fourier'; known: anchors"),
        (["--env", "digits", "--method", "margin", "--trials", "0"], "--trials: 0 given"),
        (
            ["--env", "digits", "--method", "margin", "--params", "student.learning_rate=5"],
            "--params student.learning_rate: kedro tune varies it from 0.01 to 1; leave it out",
        ),
        (
            ["--env", "digits", "--method", "margin", "--params", "student.muon_learning_rate=0.2"],
            "--params student.muon_learning_rate: kedro tune varies it from 0.01 to 1; leave it",
        ),
        (["--env", "digits", "--method", "margin", "--params", "seed=5"], "--params seed: all"),
    ],
)
def test_bad_input_is_one_message(project: Path, arguments: list[str], words: str) -> None:
    assert refusal(project, "tune", *arguments).startswith(f"Error: {words}")
    assert not list((project / "data").iterdir())


def test_every_method_has_ranges_within_what_its_parameters_allow(
    raw_parameters: dict[str, object],
) -> None:
    for method in METHODS.values():
        for name, ends in (COMMON | COMMON_OF_MUON | method.ranges).items():
            block, key = name.split(".")
            for value in ends:
                assert value > 0  # (the scale is logarithmic)
                validated(merged(raw_parameters, {block: {key: value}}))


def test_the_settings_that_are_shipped_are_of_their_methods_and_allowed(
    raw_parameters: dict[str, object],
) -> None:
    files = list(PROJECT.glob("conf/*/tuned/*.yml"))
    ours = {name for name, method in METHODS.items() if method.place < inf}
    assert {file.stem for file in files if file.parts[-3] == "digits"} >= ours
    for file in files:
        settings, _ = read_tuned(file)
        assert set(dict(flat(settings))) == set(COMMON | METHODS[file.stem].ranges)
        validated(merged(raw_parameters, settings))
