"""Tuning on a real cluster: trials, their storage, and the settings that come out."""

from __future__ import annotations

import os
import socket
from math import inf
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from click.testing import CliRunner
from kedro.framework.startup import bootstrap_project

from conftest import PROJECT, SMALL
from guided_dml.cli import cli
from guided_dml.comparison.plan import plan_data_set
from guided_dml.comparison.sessions import merged
from guided_dml.comparison.tune import COMMON, STORAGE, tune
from guided_dml.errors import InputError
from guided_dml.methods import METHODS
from guided_dml.parameters import flat, validated


def tuned(project: Path, scheduler: str, trials: int) -> tuple[Path, list[str]]:
    said: list[str] = []
    file = tune(project, "digits", "margin", trials, SMALL, None, scheduler, say=said.append)
    return file, said


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
    assert "best of 4 trials" in file.read_text()
    assert not list(project.glob("data/08_reporting/comparison/current/*"))
    (planned,) = plan_data_set(project, "digits", "tuned", ["margin"], 1, SMALL).runs
    assert planned.parameters["margin"] == settings["margin"]


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
        (["--env", "digits", "--method", "proxy"], "unknown method 'proxy'; known: anchors"),
        (["--env", "digits", "--method", "margin", "--trials", "0"], "--trials: 0 given"),
    ],
)
def test_bad_input_is_one_message(project: Path, arguments: list[str], words: str) -> None:
    bootstrap_project(project)
    result = CliRunner().invoke(cli, ["tune", *arguments])
    assert result.exit_code == 1
    assert f"Error: {words}" in result.stderr
    assert "Traceback" not in result.stderr


def test_every_method_has_ranges_within_what_its_parameters_allow(
    raw_parameters: dict[str, object],
) -> None:
    for method in METHODS.values():
        for name, ends in (COMMON | method.ranges).items():
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
        settings = yaml.safe_load(file.read_text())
        assert set(dict(flat(settings))) == set(COMMON | METHODS[file.stem].ranges)
        validated(merged(raw_parameters, settings))
