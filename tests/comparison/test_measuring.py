"""Robustness of a comparison's runs: measured once, from what they left, and reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from cards import card_of
from conftest import kedro, refusal, tracked_runs
from guided_dml.comparison.measurements import steps_of
from guided_dml.comparison.measuring import measure, measurements
from guided_dml.comparison.plan import PlannedRun, plan_data_set
from guided_dml.comparison.records import SCOREBOARD
from guided_dml.comparison.worker import compute, has_damaged_files, has_network
from guided_dml.errors import InputError
from guided_dml.parameters import Parameters

TINY = (
    "data.images_per_class=30,gemini.epochs=2,student.backbone=small_cnn,student.epochs=3,"
    "compute.device=cpu,robustness.queries=50,robustness.episodes=50,robustness.map_images=100"
)


def compared(project: Path, scheduler: str, *options: str, parameters: str = TINY) -> str:
    arguments = ("--envs", "digits", "--methods", "guided,softmax", "--seeds", "1")
    how = ("--scheduler", scheduler, "--params", parameters)
    result = kedro(project, "compare", *arguments, *how, *options)
    assert result.exit_code == 0, result.output
    return result.output


def stored(project: Path) -> dict[str, dict[str, Any]]:
    """Return the scores of what was measured, by data set, method and module."""
    found = {}
    for path in (project / SCOREBOARD).rglob("*/*/*/*/*/*/*.json"):
        data_set, _, method, *_, module, _ = path.relative_to(project / SCOREBOARD).parts
        found[f"{data_set} {method} {module}"] = json.loads(path.read_text())
    return found


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("tracked")
def test_all_modules_of_two_methods(project: Path, scheduler: str) -> None:
    compared(project, scheduler, "--robustness", "maps")
    (head,) = (project / SCOREBOARD.parent / "weights").rglob("head.safetensors")
    head.unlink()
    said = compared(project, scheduler, "--robustness", "all", "--refresh")
    # (nothing is trained again but what lacks a part of its network)
    assert "2 runs: 1 finished before, 1 to do" in said
    assert "digits softmax 0: MAP@R" in said
    assert "digits softmax 0: corruptions, ood, subpopulation, maps: measured" in said
    assert head.exists()
    assert "digits guided 0: corruptions, ood, subpopulation: measured" in said
    modules = ("corruptions", "ood", "subpopulation", "maps")
    found = stored(project)
    methods = ("guided", "softmax", "pixels")
    assert found.keys() == {f"digits {one} {module}" for one in methods for module in modules}
    scores = {name: record["scores"] for name, record in found.items()}
    made = {name: record["images"].keys() for name, record in found.items()}
    assert "contrast.5" in made["digits guided corruptions"] - made["digits guided ood"]
    assert made["digits guided ood"] == {"permuted", "photographs"}
    assert not made["digits guided maps"] | made["digits softmax subpopulation"]
    assert len([s for s in scores["digits guided corruptions"] if s.startswith("recall")]) == 60
    assert {"mce", "drop"} <= scores["digits guided corruptions"].keys()
    assert "mce" not in scores["digits pixels corruptions"]
    assert "auroc_energy.permuted" in scores["digits softmax ood"]
    assert "auroc_energy.permuted" not in scores["digits guided ood"]
    assert scores["digits pixels subpopulation"]["worst_class_recall"] > 0.5

    said = compared(project, scheduler, "--class-splits", "245983,983245")
    assert "digits~classes_245983 guided 0: unseen: measured" in said
    assert "2 runs: 0 finished before, 2 to do" in said  # (the same classes are one choice)
    unseen = {name for name in stored(project) if "~" in name}
    assert unseen == {f"digits~classes_245983 {one} unseen" for one in methods}

    report = max(project.glob("data/08_reporting/comparison/comparison_markdown.md/*/*.md"))
    text = report.read_text()
    for word in ("AUROC", "FPR95", "Mahalanobis", "trustworthiness", "worst class", "cannot tell"):
        assert word.lower() in text.lower(), word
    _, runs = tracked_runs(project)
    (softmax,) = (
        run
        for run in runs
        if run.data.tags.get("method") == "softmax" and "corruptions.drop" in run.data.metrics
    )
    assert softmax.data.metrics["ood.aurc"] == scores["digits softmax ood"]["aurc"]
    assert softmax.data.metrics["pixel_ood.aurc"] == scores["digits pixels ood"]["aurc"]
    assert "softmax seed 0 classes_245983" in {run.info.run_name for run in runs}


def test_nothing_is_measured_with_another_configuration_than_was_planned(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("guided_dml.comparison.measuring.quiet", lambda: None)
    overrides = {"data": {"images_per_class": 30}, "compute": {"device": "cpu"}}
    plan = plan_data_set(project, "digits", "equal", ["softmax"], 1, overrides, ["corruptions"])
    (job,) = measurements(project, plan.about, plan.runs, ["corruptions"], pixels=True)
    with (project / "conf/digits/parameters.yml").open("a") as conf:
        conf.write("robustness: {queries: 12}\n")
    with pytest.raises(InputError, match="configured differently here than where it was planned"):
        measure(str(project), job)
    monkeypatch.setattr("guided_dml.comparison.worker.quiet", lambda: None)
    with (project / "conf/digits/parameters.yml").open("a") as conf:
        conf.write("student: {momentum: 0.3}\n")
    with pytest.raises(InputError, match="configured differently here than where it was planned"):
        compute(str(project), plan.runs[0])
    assert not list((project / SCOREBOARD).rglob("*.json"))


def test_corruptions_need_no_images_of_other_data_sets() -> None:
    assert "other_images" not in steps_of("guided", ["corruptions"]).inputs()
    assert "other_images" in steps_of("guided", ["ood"]).inputs()


def _empty(file: Path) -> None:
    if file.suffix == ".json":
        file.write_text("{}")
    else:
        save_file({}, file)


@pytest.mark.parametrize(
    ("method", "lost"),
    [
        ("softmax", "weights/{}/head.safetensors"),
        ("guided", "weights/{}/weights.safetensors"),
        ("guided", "weights/{}/reference_embeddings.safetensors"),
        ("guided", "cards/{}.json"),
        ("guided", "embeddings/{}.safetensors"),
    ],
)
def test_a_network_is_there_with_all_its_parts(
    tmp_path: Path, parameters: Parameters, method: str, lost: str
) -> None:
    run = PlannedRun("digits", "digits/equal", "equal", method, 0, "key", "data", {}, "", "")
    names = ["weights", "reference_embeddings", *(["head"] if method == "softmax" else [])]
    files = [f"weights/{run.id}/{name}.safetensors" for name in names]
    for file in [*files, f"cards/{run.id}.json", f"embeddings/{run.id}.safetensors"]:
        path = tmp_path / SCOREBOARD.parent / file
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".json":
            card = card_of({}, parameters.student, {"mean": [0.0], "std": [1.0]})
            path.write_text(json.dumps(card._asdict()))
        else:
            save_file({"some": torch.zeros(100)}, path)
    assert has_network(tmp_path, run)
    part = tmp_path / SCOREBOARD.parent / lost.format(run.id)
    for damage in (lambda: part.write_bytes(part.read_bytes()[:-1]), lambda: _empty(part)):
        damage()
        assert not has_network(tmp_path, run)
        assert has_damaged_files(tmp_path, run)
    part.unlink()
    assert not has_network(tmp_path, run)
    assert not has_damaged_files(tmp_path, run)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ["--robustness", "ood,mapps"],
            [
                "unknown module of --robustness 'mapps'; did you mean maps?",
                "known: all, corruptions",
            ],
        ),
        (["--robustness", "all,bogus"], ["unknown module of --robustness 'bogus'"]),
        (["--robustness", ""], ["--robustness is given, but names nothing", "all"]),
        (["--robustness", "ood,unseen"], ["unseen classes are measured by --class-splits"]),
        (["--robustness", "ood", "--no-weights"], ["--no-weights"]),
        (["--robustness", "ood", "--class-splits", "01"], ["--robustness in a command of its own"]),
        (["--class-splits", " ,"], ["--class-splits is given, but names nothing", "245983"]),
        (["--class-splits", "24x"], ["class in --class-splits", "'24x'"]),
        (["--robustness", "maps", "--params", "evaluation.split=validation"], ["test images"]),
        (["--robustness", "maps", "--params", "evaluation.batch_statistics=true"], ["adapts"]),
        (["--robustness", "ood", "--params", "robustness.ood=mnist"], ["mnist", "ingestion"]),
        (
            ["--class-splits", "245983", "--protocol", "tuned"],
            ["--protocol tuned", "all classes", "use --protocol equal"],
        ),
        (["--robustness", "ood", "--params", "robustness.ood=minst"], ["minst", "known"]),
    ],
)
def test_bad_input_is_one_message(project: Path, options: list[str], words: list[str]) -> None:
    message = refusal(project, "compare", "--envs", "digits", "--methods", "softmax", *options)
    for word in words:
        assert word in message
    assert not list((project / SCOREBOARD).rglob("*.json"))
