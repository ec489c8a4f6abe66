"""The audit of images with planted errors, and what a session stores of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import average_precision_score

from conftest import base_parameters, refusal, run
from guided_dml.blocks import AuditParameters
from guided_dml.comparison.sessions import merged
from guided_dml.errors import InputError
from guided_dml.parameters import Parameters, validated
from guided_dml.pipelines.audit.nodes import (
    find_duplicate_images,
    find_label_neighbours,
    list_findings,
    write_audit_page,
)
from guided_dml.training.checkpoints import CheckpointStore
from guided_dml.types import LabelledImages, Tensors

QUICK: dict[str, Any] = {
    "audit": {"folds": 2, "neighbours": 5},
    "gemini": {"epochs": 3},
    "student": {"epochs": 4, "backbone": "small_cnn", "batch_size": 16},
    "compute": {"device": "cpu", "precision": "float32"},
}
#: The files of images whose labels are changed: in the training set, and in the test set.
WRONG = ["3.png", "27.png", "50.png", "7.png"]


@pytest.fixture(scope="module")
def parameters() -> Parameters:
    return validated(merged(base_parameters(), QUICK))


@pytest.fixture(scope="module")
def data(make_images: Callable[..., LabelledImages]) -> dict[str, Any]:
    """Three classes of 24 images, every fourth a test image; four labels are changed."""
    raw = make_images(per_class=24, classes=3)
    labels = raw.labels.copy()
    wrong = [raw.names.index(name) for name in WRONG]
    labels[wrong] = (labels[wrong] + 1) % 3
    test = np.arange(len(labels)) % 4 == 3
    assert test[wrong].tolist() == [True, True, False, True]
    parts = {
        name: {
            "images": torch.from_numpy(raw.images[rows]),
            "labels": torch.from_numpy(labels[rows]),
        }
        for name, rows in (("train", ~test), ("test", test))
    }
    names = np.array(raw.names)
    return parts | {
        "names": {"train": names[~test].tolist(), "test": names[test].tolist()},
        "classes": raw.classes,
    }


def voters(
    data: dict[str, Any],
    parameters: Parameters,
    method: str = "guided",
    checkpoints: CheckpointStore | None = None,
) -> Tensors:
    return find_label_neighbours(
        data["train"],
        data["test"],
        data["classes"],
        parameters.triplets,
        parameters.gemini,
        parameters.student,
        getattr(parameters, method).model_dump(),
        parameters.data.raw_pixel_training,
        parameters.evaluation.batch_size,
        parameters.audit,
        parameters.compute,
        parameters.seed,
        parameters.split_seed,
        checkpoints,
        method=method,
    )


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the networks of ``guided`` are kept."""
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture(scope="module")
def guided(data: dict[str, Any], parameters: Parameters, checkpoints: Path) -> Tensors:
    return voters(data, parameters, checkpoints=CheckpointStore(checkpoints, interval=0))


@pytest.fixture(scope="module")
def softmax(data: dict[str, Any], parameters: Parameters) -> Tensors:
    return voters(data, parameters, "softmax")


def findings(
    data: dict[str, Any], neighbours: Tensors, parameters: Parameters
) -> tuple[pd.DataFrame, dict[str, float], str]:
    audit = parameters.audit
    twins = find_duplicate_images(data["train"], data["test"], audit, parameters.compute)
    found = (data["train"], data["test"], data["names"], data["classes"], neighbours, twins, audit)
    return *list_findings(*found), write_audit_page(*found, "a run")


@pytest.mark.parametrize("method", ["guided", "softmax"])
def test_wrong_labels_come_first(
    data: dict[str, Any], parameters: Parameters, request: pytest.FixtureRequest, method: str
) -> None:
    table, scores, page = findings(data, request.getfixturevalue(method), parameters)
    planted = table["image"].isin(WRONG)
    assert average_precision_score(planted, 1 - table["label_score"]) > 0.9
    assert average_precision_score(planted, 1 - table["label_score_by_pixels"]) > 0.9
    assert table["image"][:4].isin(WRONG).sum() >= 3
    assert table["is_label_issue"][:3].all()
    first = table.iloc[0]
    truth = data["classes"][int(first["image"].removesuffix(".png")) // 24]
    assert first["suggested_label"] == truth != first["given_label"]
    assert scores["label_issues"] == table["is_label_issue"].sum()
    assert f"<b>{scores['label_issues']}</b>likely wrong labels" in page


def test_who_votes_is_near_and_of_another_fold(data: dict[str, Any], softmax: Tensors) -> None:
    found, fold, train = softmax, softmax["fold"], len(data["train"]["labels"])
    assert sorted(set(fold.tolist())) == [0, 1]
    for space in ("by_features", "by_pixels"):
        assert (fold[found[space]] != fold[:, None]).all()
        assert found[space].shape == (72, 5)
        assert found[space].max() < train
    pixels = torch.cat([data[part]["images"].flatten(1) for part in ("train", "test")]).double()
    for row in (0, 20, 60, 71):
        others = (fold[:train] != fold[row]).nonzero().flatten()
        apart = (pixels[others] - pixels[row]).square().sum(1)
        assert found["by_pixels"][row].tolist() == others[apart.argsort(stable=True)[:5]].tolist()


def test_no_network_sees_the_labels_that_it_judges(
    data: dict[str, Any], parameters: Parameters, guided: Tensors
) -> None:
    before = guided
    fold = before["fold"][: len(data["train"]["labels"])]
    # Two images of a fold change places: what its network learns from stays the same.
    labels = data["train"]["labels"]
    first, second = (
        ((fold == 0) & (labels == 0)).nonzero()[0],
        ((fold == 0) & (labels == 1)).nonzero()[0],
    )
    images = data["train"]["images"].clone()
    images[[int(first), int(second)]] = images[[int(second), int(first)]]
    changed = data | {"train": {"images": images, "labels": labels}}
    after = voters(changed, parameters)
    rows = (before["fold"] == 0).nonzero().flatten()
    same = [row for row in rows.tolist() if row not in (int(first), int(second))]
    assert after["by_features"][same].equal(before["by_features"][same])


def test_planted_duplicates_and_leaks_are_in_the_table(
    data: dict[str, Any], parameters: Parameters
) -> None:
    train, test = data["train"]["images"].clone(), data["test"]["images"].clone()
    test[2] = train[10]
    train[20] = train[19]
    train[41] = train[5] ^ 1
    changed = data | {
        "train": data["train"] | {"images": train},
        "test": data["test"] | {"images": test},
    }
    none = torch.zeros(72, 5, dtype=torch.int64)
    table, scores, page = findings(changed, {"by_features": none, "by_pixels": none}, parameters)
    names, kept = data["names"], table.dropna(subset="group").set_index("image")
    labels = data["train"]["labels"]
    pairs = [(names["train"][10], names["test"][2]), tuple(names["train"][19:21])]
    pairs.append((names["train"][5], names["train"][41]))
    assert set(kept.index) == {name for pair in pairs for name in pair}
    for (one, other), kind, leak in zip(pairs, ("exact", "exact", "near"), (1, 0, 0), strict=True):
        rows = kept.loc[[one, other]]
        assert rows["closest"].tolist() == [other, one]
        assert rows["closest_set"].tolist() == rows["set"].tolist()[::-1]
        assert (rows["duplicate"] == kind).all()
        assert (rows["is_leak"] == leak).all()
        assert (rows["distance"] == (kind == "near")).all()
        assert rows["group"].nunique() == 1
    assert labels[5] != labels[41]
    assert kept["labels_differ"].sum() == 2
    assert kept.loc[pairs[2][0], "group"] == 1  # (the gravest: one of the two labels is wrong)
    assert (scores["exact_groups"], scores["near_groups"]) == (2, 1)
    assert (scores["leaks"], scores["leaked_test_images"]) == (1, 1)
    assert page.count(">leak</span>") == 1


def test_a_killed_audit_goes_on(
    data: dict[str, Any], parameters: Parameters, guided: Tensors, checkpoints: Path
) -> None:
    stored = sorted(path.name.rpartition("-")[0] for path in checkpoints.glob("*.safetensors"))
    assert stored == ["gemini", "gemini", "guided", "guided"]
    again = CheckpointStore(checkpoints, interval=0)
    second = voters(data, parameters, checkpoints=again)
    assert again.resumed
    assert len(list(checkpoints.glob("*.safetensors"))) == 4
    assert all(guided[name].equal(second[name]) for name in guided)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"folds": 30},
            r"audit.folds: 30 given.*'class \d' has 1\d training images.*audit.folds=1\d",
        ),
        ({"neighbours": 60}, r"audit.neighbours: 60 given, but 27 training images"),
    ],
)
def test_too_few_images_are_said(
    data: dict[str, Any], parameters: Parameters, change: dict[str, int], message: str
) -> None:
    audit = parameters.audit.model_copy(update=change)
    with pytest.raises(InputError, match=message):
        voters(data, parameters.model_copy(update={"audit": audit}))


def test_a_student_that_cannot_learn_is_refused_before_its_teachers_are_trained(
    data: dict[str, Any], parameters: Parameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("guided_dml.pipelines.audit.nodes.train_on_others", pytest.fail)
    student = parameters.student.model_copy(update={"shift": 8})
    with pytest.raises(InputError, match=r"student.shift: 8 given; .* moved by 7 at most"):
        voters(data, parameters.model_copy(update={"student": student}))


def test_a_class_that_can_only_lose_is_warned_of(
    data: dict[str, Any], parameters: Parameters, warned: list[str]
) -> None:
    rows = torch.cat([torch.arange(36), torch.arange(36, 40)])
    few = {name: values[rows] for name, values in data["train"].items()}
    few["labels"] = torch.tensor([0] * 18 + [1] * 18 + [2] * 4)
    audit = AuditParameters(folds=2, neighbours=10)
    voters(data | {"train": few}, parameters.model_copy(update={"audit": audit}), "softmax")
    assert "'class 2'" in warned[0]
    assert "1 of 3 classes" in warned[0]


def test_a_session_stores_and_says_what_it_found(project: Path, caplog: Any) -> None:
    refused = refusal(project, "run", "--pipelines=audit", "--params", "tracking=false")
    assert "run the pipeline ingestion" in refused
    caplog.set_level("INFO", logger="guided_dml")
    least = {"gemini": {"epochs": 1}, "student": QUICK["student"] | {"epochs": 1}}
    run(project, "ingestion", "audit", params=QUICK | least | {"tracking": False})
    stored = {
        path.name: path for path in project.glob("data/08_reporting/digits/guided/*/*/audit*")
    }
    assert set(stored) == {"audit.csv", "audit_page.html", "audit_scores.json"}
    table, scores = (
        pd.read_csv(stored["audit.csv"]),
        json.loads(stored["audit_scores.json"].read_text()),
    )
    assert len(table) == scores["images"] == 200
    assert table["is_label_issue"].sum() == scores["label_issues"]
    assert len(json.loads(table["neighbours"][0])) == 5
    said = next(m for m in caplog.messages if "audit of 200 images" in m)
    assert re.search(rf"\n +{scores['label_issues']}  likely wrong labels", said)
    assert said.endswith("audit_page.html")
    assert not list(project.glob("data/06_models/digits/checkpoints/*.safetensors"))


def test_folds_may_be_more_than_the_test_images(
    data: dict[str, Any], parameters: Parameters
) -> None:
    alone = {name: values[:1] for name, values in data["test"].items()}
    found = voters(data | {"test": alone}, parameters, "softmax")
    assert found["by_features"].shape == (len(data["train"]["labels"]) + 1, 5)
