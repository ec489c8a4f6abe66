"""Which runs a comparison consists of, and the key of their settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.torch import save_file

from conftest import SMALL, run
from guided_dml.comparison.plan import plan_data_set
from guided_dml.comparison.sessions import merged, session
from guided_dml.comparison.tuned import Found, write_tuned
from guided_dml.errors import InputError
from guided_dml.lineage import content_hash


def test_data_are_prepared_once_and_again_for_other_parameters(project: Path) -> None:
    def planned(**change: Any) -> Any:
        small = merged(SMALL, change)
        return plan_data_set(project, "digits", "equal", ["margin", "guided"], 2, small)

    first, second = planned(), planned()
    assert first == second
    assert [(one.method, one.seed) for one in first.runs] == [
        ("margin", 0),
        ("guided", 0),
        ("margin", 1),
        ("guided", 1),
    ]
    reports = list(project.glob("data/08_reporting/digits/data_report.json/*"))
    assert len(reports) == 1
    other = planned(data={"images_per_class": 12})
    assert len(list(reports[0].parent.iterdir())) == 2
    assert other.about.given["data.images_per_class"] == 12
    assert other.runs[0].data_version != first.runs[0].data_version
    assert planned() == first  # (an older version is as good)
    validation = planned(evaluation={"split": "validation"})
    assert validation.about.pixel_scores == {}  # (they are of the test images)
    assert first.about.pixel_scores["recall_at_1"] > 0.5
    assert len(list(reports[0].parent.iterdir())) == 2
    run(
        project, "ingestion", params={"tracking": False}
    )  # (as at first: another version, the same)
    assert [one.id for one in planned().runs] == [one.id for one in first.runs]


def test_an_ingestion_that_was_refused_half_way_is_passed_over(project: Path) -> None:
    with pytest.raises(InputError, match=r"triplets\.pairs: 3 given"):
        run(project, params={"triplets": {"pairs": 3}})
    assert not [*project.glob("data/*/digits/normalisation.json/*/normalisation.json")]
    assert plan_data_set(project, "digits", "equal", ["margin"], 1, SMALL).runs


def test_other_classes_or_a_long_tail_are_other_data(project: Path) -> None:
    def planned(**change: Any) -> str:
        small = merged(SMALL, {"data": {"images_per_class": 30} | change})
        return plan_data_set(project, "digits", "equal", ["margin"], 1, small).runs[0].data_version

    found = [planned(), planned(classes=["1", "4", "7"]), planned(imbalance_factor=3)]
    assert len(set(found)) == 3
    unseen = sorted(project.glob("data/03_primary/digits/unseen_classes.json/*/*classes.json"))
    assert [len(json.loads(file.read_text())) for file in unseen] == [0, 7, 0]


def test_other_raw_data_or_another_split_are_other_data(project: Path) -> None:
    (project / "conf" / "cells").mkdir()
    (project / "conf" / "cells" / "catalog.yml").write_text(
        "raw_images: {type: guided_dml.datasets.npz.NpzImagesDataset, filepath: data/cells.npz}\n"
    )

    def planned(images: int, **change: Any) -> str:
        rng = np.random.default_rng(images)
        pixels, labels = rng.integers(0, 256, (images, 8, 8), np.uint8), np.arange(images) % 2
        np.savez(project / "data" / "cells.npz", images=pixels, labels=labels)
        small = merged(SMALL, {"data": {"images_per_class": None} | change})
        return plan_data_set(project, "cells", "equal", ["margin"], 1, small).runs[0].data_version

    first = planned(60)
    assert planned(60) == first
    assert len({first, planned(600), planned(60, test_share=0.5)}) == 3


def test_settings_lie_over_each_other_in_the_stated_order(project: Path) -> None:
    layers: dict[str, Any] = {
        "parameters.yml": {"epochs": 9, "learning_rate": 0.9, "momentum": 0.91, "shift": 1},
        "recipes/mine.yml": {"epochs": 8, "learning_rate": 0.8, "momentum": 0.81},
        "tuned/margin.yml": {"epochs": 7, "learning_rate": 0.7},
    }
    for name, student in layers.items():
        file = project / "conf" / "digits" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(yaml.safe_dump({"student": student}))
    asked = merged(SMALL, {"recipe": "mine"})
    (planned,) = plan_data_set(project, "digits", "tuned", ["margin"], 1, asked).runs
    with session(project, "digits", planned.parameters) as (_, context):
        student = context.config_loader["parameters"]["student"]
        assert context.config_loader["parameters"]["recipe"] == "mine"
    wanted = {"shift": 1, "momentum": 0.81, "learning_rate": 0.7, **SMALL["student"]}
    assert wanted.items() <= student.items()
    folder = project / "conf" / "digits" / "tuned"
    found = Found(score=0.9, trials=5, shared="key", parameters={}, data_version="d", commit="c")
    write_tuned(folder / "margin.yml", {"student": {"learning_rate": 0.7}}, found)
    with pytest.raises(InputError, match=r"margin\.yml was found with recipe=null, now .* mine"):
        plan_data_set(project, "digits", "tuned", ["margin"], 1, asked)
    same = found.model_copy(update={"parameters": {"recipe": "mine"}})
    write_tuned(folder / "margin.yml", {"student": {"learning_rate": 0.7}}, same)
    assert plan_data_set(project, "digits", "tuned", ["margin"], 1, asked).runs == [planned]


def test_other_pretrained_weights_are_another_start(project: Path) -> None:
    import timm

    file = project / "start.safetensors"
    student = {"backbone": "timm/resnet10t", "pretrained": str(file)}
    seen = set()
    for _ in range(2):
        save_file(timm.create_model("resnet10t").state_dict(), file)
        content_hash.cache_clear()  # (of stored versions, which never change)
        plan = plan_data_set(
            project, "digits", "equal", ["margin"], 1, merged(SMALL, {"student": student})
        )
        seen.add(plan.runs[0].settings)
    assert len(seen) == 2
    file.write_bytes(b"none")
    with pytest.raises(InputError, match=r"start\.safetensors cannot be read as weights"):
        plan_data_set(
            project, "digits", "equal", ["margin"], 1, merged(SMALL, {"student": student})
        )


def test_tuned_settings_lie_below_what_is_asked_for(project: Path) -> None:
    with pytest.raises(InputError, match=r"margin is not tuned on digits.*tuned/margin.yml"):
        plan_data_set(project, "digits", "tuned", ["margin"], 1, SMALL)
    folder = project / "conf" / "digits" / "tuned"
    folder.mkdir()
    text = "student: {learning_rate: 0.25, epochs: 9}\nmargin: {beta: 2.5}\n"
    (folder / "margin.yml").write_text(text)
    (planned,) = plan_data_set(project, "digits", "tuned", ["margin"], 1, SMALL).runs
    assert planned.parameters["student"]["learning_rate"] == 0.25
    assert planned.parameters["student"]["epochs"] == SMALL["student"]["epochs"]
    assert planned.parameters["margin"] == {"beta": 2.5}
