"""Recipes: settings of a data set under one name, laid between its own and those of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import PROJECT
from guided_dml.config import DataSetConfigLoader
from guided_dml.errors import InputError
from guided_dml.parameters import validated
from guided_dml.settings import CONFIG_LOADER_ARGS

#: The paper's settings (docs/method.md), where they differ between its data sets.
PAPER = {
    "mnist": {"batch": 128, "triplets": 32, "teacher": 10, "beta": 0.005, "plateau": (0.8, 1)},
    "fashion_mnist": {
        "batch": 32,
        "triplets": 64,
        "teacher": 10,
        "beta": 0.005,
        "plateau": (0.6, 1),
    },
    "cifar10": {"batch": 32, "triplets": 64, "teacher": 12, "beta": 0.003, "plateau": (0.2, 3)},
}


def loaded(conf: Path, env: str | None, **of_the_run: Any) -> dict[str, Any]:
    options: dict[str, Any] = CONFIG_LOADER_ARGS
    loader = DataSetConfigLoader(str(conf), env=env, runtime_params=of_the_run, **options)
    parameters: dict[str, Any] = loader["parameters"]
    return parameters


@pytest.mark.parametrize("data_set", PAPER)
def test_recipe_paper_is_the_papers(data_set: str) -> None:
    parameters = validated(loaded(PROJECT / "conf", data_set, recipe="paper"))
    wanted, student, gemini = PAPER[data_set], parameters.student, parameters.gemini
    assert parameters.triplets.batch_size == wanted["triplets"]
    assert not parameters.triplets.repeat
    assert (gemini.epochs, gemini.beta, gemini.margin) == (wanted["teacher"], wanted["beta"], 3.0)
    assert (gemini.learning_rate, gemini.momentum, gemini.weight_decay) == (0.001, 0.0, 0.0)
    assert (student.batch_size, student.epochs) == (wanted["batch"], 50)
    assert (student.learning_rate, student.momentum, student.weight_decay) == (0.1, 0.0, 0.0001)
    assert (student.clip_gradient_values, student.schedule) == (0.1, "plateau")
    assert (student.plateau_factor, student.plateau_patience) == wanted["plateau"]
    assert (student.backbone, student.stem, student.flip, student.shift) == (
        "resnet18",
        "small",
        "none",
        0,
    )
    assert student.target_scale is None
    assert not parameters.evaluation.flip_average


@pytest.mark.parametrize("data_set", PAPER)
def test_fast_is_the_default_of_the_papers_data_sets(data_set: str) -> None:
    assert loaded(PROJECT / "conf", data_set) == loaded(PROJECT / "conf", data_set, recipe="fast")
    parameters = validated(loaded(PROJECT / "conf", data_set))
    assert parameters.student.backbone == "airbench"
    assert parameters.triplets.repeat
    assert validated(loaded(PROJECT / "conf", None)).recipe is None


def test_a_recipe_lies_over_the_data_set_and_below_the_run(project: Path) -> None:
    conf = project / "conf"
    folder = conf / "image_folder" / "recipes"
    folder.mkdir()
    recipe = {"student": {"epochs": 7, "batch_size": 5}, "gemini": {"kernel_size": 4}}
    (folder / "mine.yml").write_text(yaml.safe_dump(recipe))
    plain = loaded(conf, "image_folder")
    found = loaded(conf, "image_folder", recipe="mine", student={"batch_size": 9})
    assert (found["student"]["epochs"], found["student"]["batch_size"]) == (7, 9)
    assert (found["gemini"]["kernel_size"], found["gemini"]["padding"]) == (4, 0)
    changed = {"recipe": "mine", "student": {}, "gemini": {}}
    assert plain | changed == found | {"student": {}, "gemini": {}}


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ("cifar10", r"recipe: 'slow' given; cifar10 has fast, null, paper"),
        (None, r"recipe: 'slow' given; digits has none"),
        ("digits", r"recipe: 'slow' given; digits has none"),
    ],
)
def test_a_recipe_that_does_not_exist_is_refused(env: str | None, words: str) -> None:
    with pytest.raises(InputError, match=words):
        loaded(PROJECT / "conf", env, recipe="slow")


@pytest.mark.parametrize(
    "content",
    [
        "- 1",
        "student: [",
        "\xff",
        "5",
        "student: null",
        "studnet: {a: 1}",
        "recipe: other",
        "seed: {}",
    ],
)
def test_a_damaged_recipe_is_named(project: Path, content: str) -> None:
    folder = project / "conf" / "image_folder" / "recipes"
    folder.mkdir()
    (folder / "mine.yml").write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=r"recipes/mine\.yml"):
        loaded(project / "conf", "image_folder", recipe="mine")


@pytest.mark.parametrize("name", ["../recipes/paper", "", 5, ["paper"]])
def test_a_recipe_is_a_name(name: object) -> None:
    with pytest.raises(InputError, match=r"recipe: .* given"):
        loaded(PROJECT / "conf", "cifar10", recipe=name)


def test_a_recipe_acts_when_it_is_asked_for_whatever_its_name(project: Path) -> None:
    folder = project / "conf" / "digits" / "recipes"
    folder.mkdir()
    for name in ("parameters_fast.yml", "catalog_mine.yml", "2024.yaml"):
        (folder / name).write_text("seed: 3")
    assert loaded(project / "conf", "digits")["seed"] == 0
    for asked, known in (("parameters_fast", "parameters_fast"), (2024, "2024")):
        found = loaded(project / "conf", "digits", recipe=asked)
        assert (found["seed"], validated(found).recipe) == (3, known)


def test_without_an_environment_it_is_the_digits(project: Path) -> None:
    (project / "conf" / "digits" / "parameters.yml").write_text("seed: 7")
    assert loaded(project / "conf", None)["seed"] == loaded(project / "conf", "digits")["seed"] == 7


def test_files_are_read_once_and_everybody_has_a_copy(project: Path) -> None:
    options: dict[str, Any] = CONFIG_LOADER_ARGS
    loader = DataSetConfigLoader(str(project / "conf"), **options)
    before = loader["parameters"]["student"]["epochs"]
    (project / "conf" / "base" / "parameters.yml").write_text("student: {epochs: 99}")
    loader["parameters"]["student"]["epochs"] = -1
    assert loader["parameters"]["student"]["epochs"] == before


@pytest.mark.parametrize("given", [5, None])
def test_what_is_wrong_on_the_command_line_is_not_blamed_on_the_recipe(given: Any) -> None:
    with pytest.raises(InputError, match=r"wrong parameters, .*\n  student: ") as refused:
        validated(loaded(PROJECT / "conf", "cifar10", student=given))
    assert "fast.yml" not in str(refused.value)
