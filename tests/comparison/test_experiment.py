"""Comparisons on a real cluster, from the command to the scoreboard, MLflow and the report."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import scoreboard
from conftest import SMALL, checkpoint_every_epoch, kedro, refusal, tracked_runs
from guided_dml import mlflow_store
from guided_dml.comparison.experiment import How, Progress, _missing, compare
from guided_dml.comparison.plan import Plan, PlannedRun, plan_data_set
from guided_dml.comparison.records import SCOREBOARD, About, RunRecord
from guided_dml.comparison.sessions import merged
from guided_dml.comparison.upload import Uploader
from warm import Command

TINY = "data.images_per_class=10,gemini.epochs=2,student.backbone=small_cnn,compute.device=cpu"

#: Without MLflow, whose database takes seconds to make.
UNTRACKED = f"{TINY},tracking=false"

#: There are no validation images, but they are asked for.
VALIDATION = "data.images_per_class=9,data.validation_share=0,evaluation.split=validation"

GONE = "student.pretrained=gone.safetensors"


def uploaded(project: Path) -> list[Any]:
    """Return the runs of score files in MLflow."""
    _, runs = tracked_runs(project)
    return [one for one in runs if "scoreboard" in one.data.tags]


def compared(
    project: Path, scheduler: str | None, *methods: str, seeds: int = 1, **change: Any
) -> tuple[Progress, list[str]]:
    said: list[str] = []
    refresh, parameters = change.pop("refresh", False), merged(SMALL, change)
    arguments = (["digits"], list(methods), seeds, "equal", parameters, 1, scheduler)
    return compare(project, *arguments, said.append, refresh), said


def score_files(project: Path) -> dict[str, Path]:
    return {
        f"{path.parts[-3]} {path.stem}": path for path in (project / SCOREBOARD).rglob("*.json")
    }


def newest(project: Path, name: str) -> Path:
    return max(project.glob(f"data/08_reporting/comparison/{name}/*/{name}"))


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("tracked")
def test_every_run_is_computed_once_recorded_uploaded_and_reported(
    project: Path, scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("guided_dml.comparison.experiment.CONVERGED", 1e6)
    outcome, said = compared(project, scheduler, "guided", "triplet", seeds=2)
    assert said[0] == "4 runs: 0 finished before, 4 to do"
    assert not outcome.failed
    files = score_files(project)
    assert set(files) == {f"{m} seed_{s}" for m in ("guided", "triplet") for s in (0, 1)}
    record = json.loads(files["guided seed_1"].read_text())
    assert record["seed"] == record["parameters"]["seed"] == 1
    assert record["images_seen"] == {"student": 2 * 90, "teacher": 2 * 90 * 3 * 4}
    assert record["device"].startswith("CPU")
    assert not record["device"].endswith("as asked for")  # (nobody did)
    assert record["seconds"] > 0
    assert record["peak_memory_mb"] > 100
    assert {"torch", "kedro"} < set(record["libraries"])
    assert all(0 <= score <= 1 for score in record["scores"].values())
    ratio = record["teacher"]["centre_ratio"]
    (told,) = (line for line in said if "guided 1: MAP@R" in line)
    assert f"GEMINI has not converged: ratio {ratio:.2f};" in told
    assert not any("triplet" in line and "GEMINI" in line for line in said)
    assert not json.loads(files["triplet seed_1"].read_text())["teacher"]
    assert not list(project.glob("data/06_models/digits/**/*.safetensors"))
    networks = project / "data/08_reporting/comparison/weights"
    assert len([*networks.rglob("weights.safetensors")]) == 4
    assert len([*networks.rglob("reference_embeddings.safetensors")]) == 4

    client, runs = tracked_runs(project)
    (parent,) = (one for one in runs if "comparison" in one.data.tags)
    children = uploaded(project)
    assert len(children) == 4
    assert {one.data.tags["mlflow.parentRunId"] for one in children} == {parent.info.run_id}
    by_name = {one.info.run_name: one for one in children}
    assert by_name["guided seed 1"].data.metrics["map_at_r"] == record["scores"]["map_at_r"]
    assert by_name["guided seed 1"].data.params["student.epochs"] == "2"

    stamps = {name: path.stat().st_mtime_ns for name, path in files.items()}
    files["triplet seed_0"].write_text("{")
    _, said = compared(project, scheduler, "guided", "triplet", seeds=2)
    assert said[0] == "4 runs: 3 finished before, 1 to do"
    again = score_files(project)
    changed = [n for n in stamps if again[n].stat().st_mtime_ns != stamps[n]]
    assert changed == ["triplet seed_0"]
    assert len(uploaded(project)) == 4
    table, where = said[-2:]
    assert [line.split()[:2] for line in table.splitlines()[4:6]] == [
        ["Guided", "2"],
        ["Triplet", "2"],
    ]
    assert where == f"report: {newest(project, 'comparison_markdown.md').relative_to(project)}"

    assert client.get_experiment_by_name("comparison") is not None


def test_runs_of_other_parameters_are_kept_and_not_mixed(project: Path, scheduler: str) -> None:
    compared(project, scheduler, "softmax", tracking=False)
    _, said = compared(project, scheduler, "softmax", student={"epochs": 3}, tracking=False)
    assert said[0].endswith("1 to do")
    assert len(list((project / SCOREBOARD).rglob("*.json"))) == 2
    table = newest(project, "comparison_table.csv").read_text()
    assert table.count("softmax") == 9
    moved = next((project / SCOREBOARD).rglob("*.json"))
    record = json.loads(moved.read_text())
    record["parameters"]["student"]["epochs"] = 77
    moved.write_text(json.dumps(record))
    _, said = compared(project, scheduler, "softmax", tracking=False)
    _, also = compared(project, scheduler, "softmax", student={"epochs": 3}, tracking=False)
    assert sorted([said[0], also[0]]) == [
        "1 run: 0 finished before, 1 to do",
        "1 run: 1 finished before, 0 to do",
    ]


def test_a_refresh_scores_anew_and_if_that_cannot_be_stored_leaves_no_older_record(
    project: Path, scheduler: str
) -> None:
    """Else older scores would stand beside another network, or none."""
    compared(project, scheduler, "softmax", tracking=False)
    file = score_files(project)["softmax seed_0"]
    record = json.loads(file.read_text())
    nmi = record["scores"].pop("nmi")
    file.write_text(json.dumps(record))
    compared(project, scheduler, "softmax", tracking=False, refresh=True)
    assert json.loads(file.read_text())["scores"] == record["scores"] | {"nmi": nmi}
    file.write_text(json.dumps(record))
    place = file.relative_to(project / SCOREBOARD).with_suffix("")
    weights = project / SCOREBOARD.parent / "weights" / place / "weights.safetensors"
    weights.unlink()
    weights.mkdir()
    outcome, _ = compared(project, scheduler, "softmax", tracking=False, refresh=True)
    assert len(outcome.failed) == 1
    assert not file.exists()
    weights.rmdir()
    _, said = compared(project, scheduler, "softmax", tracking=False)
    assert said[0] == "1 run: 0 finished before, 1 to do"
    again = json.loads(file.read_text())
    assert (again["resumed"], "nmi" in again["scores"]) == (True, True)


def test_a_failed_run_is_reported_and_the_others_go_on(project: Path, scheduler: str) -> None:
    diverging = {"learning_rate": 1e30, "clip_gradient_values": None, "epochs": 2}
    outcome, said = compared(
        project, scheduler, "siamese", "softmax", student=diverging, tracking=False
    )
    assert len(outcome.failed) + len(outcome.finished) == 2
    assert outcome.failed
    planned, reason = outcome.failed[-1]
    assert "student: the loss became" in reason or "weights are not finite" in reason
    assert f"failed: {planned.name}: {reason}" in said


def test_a_result_that_cannot_be_stored_is_not_trained_for_again(
    project: Path, scheduler: str
) -> None:
    checkpoint_every_epoch(project)
    in_the_way = project / "data/08_reporting/comparison/embeddings"
    in_the_way.parent.mkdir(parents=True)
    in_the_way.touch()
    outcome, _ = compared(project, scheduler, "softmax", tracking=False)
    assert outcome.failed
    assert list(project.glob("data/06_models/digits/checkpoints/softmax-*"))
    in_the_way.unlink()
    compared(project, scheduler, "softmax", tracking=False)
    (file,) = score_files(project).values()
    assert json.loads(file.read_text())["resumed"]
    assert not list(project.glob("data/06_models/digits/checkpoints/*"))


def test_without_mlflow_or_while_it_is_locked_scores_are_kept_and_uploaded_later(
    tracked: Path,
    scheduler: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project, database = tracked, tracked / "mlruns" / "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project}/pyproject.toml/no.db")
    outcome, _ = compared(project, scheduler, "softmax")
    assert len(outcome.finished) == len(score_files(project)) == 1
    assert "the same command again uploads what is missing" in caplog.text
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    plan = plan_data_set(project, "digits", "equal", ["softmax"], 1, SMALL)
    with monkeypatch.context() as hurried, closing(sqlite3.connect(database)) as another:
        hurried.setattr(mlflow_store, "PATIENCE", 0.1)
        another.execute("BEGIN EXCLUSIVE")
        Uploader(project, plan)
        assert "database is locked); all scores are on the scoreboard" in caplog.text
    _, said = compared(project, scheduler, "softmax")
    assert said[0] == "1 run: 1 finished before, 0 to do"
    assert len(uploaded(project)) == 1
    (file,) = score_files(project).values()
    record = RunRecord.model_validate_json(file.read_bytes())
    anew = record.model_copy(update={"scores": record.scores | {"map_at_r": 0.125}})
    Uploader(project, plan).add(anew, {})
    (run,) = uploaded(project)
    assert run.data.metrics["map_at_r"] == 0.125
    assert run.data.metrics["recall_at_1"] == record.scores["recall_at_1"]
    other = merged(SMALL, {"margin": {"margin": 0.5}})
    plan = plan_data_set(project, "digits", "equal", ["softmax"], 1, other)
    Uploader(project, plan).add(anew, {})
    (moved,) = uploaded(project)  # (to the newest comparison that it is of)
    assert moved.data.tags["mlflow.parentRunId"] != run.data.tags["mlflow.parentRunId"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--envs", "digits,imagenet"], ["unknown data set 'imagenet'", "cifar10", "digits"]),
        (
            ["--envs", "digits", "--methods", "fourier"],
            ["unknown method 'fourier'", "guided", "margin"],
        ),
        (["--envs", "digits", "--methods", "all,fourier"], ["unknown method 'fourier'"]),
        (
            ["--envs", "digits", "--epochs", "2", "--params", "student.epochs=3"],
            ["--epochs and --params student.epochs are given"],
        ),
        (
            ["--envs", "digits", "--params", "student.backbone=airbench"],
            ["8x8 pixels are too small for student.backbone=airbench"],
        ),
        (["--envs", "digits", "--params", "student.shift=8"], ["student.shift: 8", "7 at most"]),
        (
            [
                "--envs",
                "digits",
                "--params",
                "student.backbone=timm/resnet10t,student.muon_learning_rate=0.1",
            ],
            ["student.muon_learning_rate: 0.1", "student.muon_learning_rate=null"],
        ),
        (
            [
                "--envs",
                "digits",
                "--params",
                "student.target_scale=9,guided.normalise_embeddings=true",
            ],
            ["student.target_scale: 9", "guided.normalise_embeddings=false"],
        ),
        (
            [
                "--envs",
                "digits",
                "--methods",
                "anchors",
                "--params",
                "student.target_scale=9,anchors.normalise_embeddings=true",
            ],
            ["student.target_scale: 9", "anchors.normalise_embeddings=false"],
        ),
        (["--envs", "digits", "--params", "triplets.pairs=9"], ["triplets.pairs: 9", "to 90"]),
        (["--envs", "digits", "--seeds", "0"], ["--seeds: 0 given", "at least one"]),
        (["--envs", "digits", "--seeds", 20 * "9"], ["--seeds: 99", "10000 at most"]),
        (["--envs", "digits", "--params", "studnet.epochs=1"], ["studnet", "student?"]),
        (["--envs", "digits", "--epochs", "0"], ["student.epochs: 0 given"]),
        (["--envs", "digits", "--protocol", "tuned"], ["is not tuned on digits", "kedro tune"]),
        (["--envs", "image_folder"], ["data/01_raw/images", "no such folder"]),
        (["--envs", "digits", "--params", "seed=7"], ["--params seed", "--seeds"]),
        (
            ["--envs", "digits", "--params", VALIDATION],
            ["evaluation.split: 'validation'", "data.validation_share has to be above 0"],
        ),
        (
            ["--envs", "digits", "--params", f"student.backbone=timm/test_resnet,{GONE}"],
            ["student.pretrained: there is no file gone.safetensors"],
        ),
        (
            ["--envs", "digits", "--scheduler", "tcp://127.0.0.1:9", "--params", UNTRACKED],
            ["no Dask scheduler answers at tcp://127.0.0.1:9"],
        ),
        (
            ["--envs", "digits", "--scheduler", "tls://127.0.0.1:9", "--params", UNTRACKED],
            ["no Dask scheduler answers at tls://127.0.0.1:9"],
        ),
    ],
)
def test_bad_input_is_one_message(
    project: Path, arguments: list[str], words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("guided_dml.comparison.cluster.PATIENCE", 1)
    message = refusal(project, "compare", *arguments)
    for word in words:
        assert word in message


def workers_of(process: Command) -> list[int]:
    """Return the processes that Dask spawned."""
    lists = Path(f"/proc/{process.pid}/task").glob("*/children")
    return [
        int(child)
        for children in lists
        for child in children.read_text().split()
        if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text()
    ]


LONG = f"{TINY},student.epochs=60"


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("tracked")
def test_a_killed_worker_and_ctrl_c_lose_only_what_was_under_way(
    project: Path, scheduler: str
) -> None:
    checkpoint_every_epoch(project)
    what = ("--envs", "digits", "--methods", "softmax", "--seeds", "2")
    options = ("compare", *what, "--params", LONG)
    checkpoint = "data/06_models/digits/checkpoints/*.safetensors"
    with Command(project, "kedro", *options, "--workers", "1") as process:
        process.wait_for(checkpoint)
        (worker,) = workers_of(process)
        os.kill(worker, signal.SIGKILL)
        process.wait_for(f"{SCOREBOARD}/digits/equal/softmax/*/seed_0.json")
        first = score_files(project)["softmax seed_0"]
        done = first.stat().st_mtime_ns
        assert json.loads(first.read_text())["resumed"]
        process.wait_for(checkpoint)
        os.killpg(process.pid or 0, signal.SIGINT)
        process.join(60)
    assert process.exitcode == 130
    assert "interrupted; finished" in process.said()
    assert "Traceback" not in process.said()
    assert list(score_files(project)) == ["softmax seed_0"]

    again = kedro(project, *options, "--scheduler", scheduler)
    assert again.exit_code == 0, again.output
    assert "2 runs: 1 finished before, 1 to do" in again.output
    assert sorted(score_files(project)) == ["softmax seed_0", "softmax seed_1"]
    assert score_files(project)["softmax seed_0"].stat().st_mtime_ns == done
    assert json.loads(score_files(project)["softmax seed_1"].read_text())["resumed"]
    assert not list(project.glob("data/06_models/digits/checkpoints/*"))
    with closing(sqlite3.connect(project / "mlruns" / "mlflow.db")) as connection:
        states = connection.execute("select distinct status from runs").fetchall()
    assert states == [("FINISHED",)]


@pytest.mark.usefixtures("tracked")
def test_two_comparisons_at_once_share_a_scoreboard(project: Path, scheduler: str) -> None:
    command = ["kedro", "compare", "--envs", "digits", "--methods", "softmax,anchors"]
    command += ["--scheduler", scheduler, "--seeds", "1", "--params", TINY]
    with Command(project, *command) as first, Command(project, *command) as second:
        for process in (first, second):
            process.join(200)
            assert process.exitcode == 0, process.said()
    assert len(uploaded(project)) >= 2
    assert len(score_files(project)) == 2
    for path in score_files(project).values():
        json.loads(path.read_text())


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        ("bare", "without a whole network to be measured: digits softmax 0"),
        ("damaged", "with damaged files of their networks or embeddings: digits softmax 0"),
        ("lacking", "without scores that came later: digits softmax 0 (nmi)"),
    ],
)
def test_a_run_that_lacks_something_is_told_and_run_anew_on_demand(
    tmp_path: Path, trouble: str, told: str
) -> None:
    about = About.model_validate(scoreboard.about(robustness={"maps": "k1"}))
    key = about.settings["softmax"]
    planned = PlannedRun("digits", about.id, "equal", "softmax", 0, key, "d1", {}, "", "")
    record = scoreboard.run("softmax")
    file = scoreboard.write_json(tmp_path, "scoreboard", planned.id, record)
    embeddings = tmp_path / SCOREBOARD.parent / f"embeddings/{planned.id}.safetensors"
    if trouble == "damaged":
        embeddings.parent.mkdir(parents=True)
        embeddings.write_bytes(b"half a file")
    if trouble == "lacking":
        scores = {name: score for name, score in record["scores"].items() if name != "nmi"}
        file.write_text(json.dumps(record | {"scores": scores}))
    plan, said = Plan([planned], about, tracking=False), list[str]()

    def left(refresh: bool) -> tuple[list[PlannedRun], Progress]:
        progress = Progress(tmp_path, {about.id: plan}, {about.id: Uploader(tmp_path, plan)})
        modules = ["maps"] if trouble == "bare" else []
        how = How(None, None, refresh, weights=True, modules=modules)
        return _missing(progress, how, said.append), progress

    missing, progress = left(refresh=False)
    assert (missing, progress.finished) == ([], [planned])
    told = f"1 finished run {told}; --refresh runs them anew"
    assert said == ["1 run: 1 finished before, 0 to do", told]
    assert len(progress.failed) == (trouble == "bare")
    assert left(refresh=True)[0] == [planned]
    if trouble != "bare":  # (once it is whole there is nothing to refresh)
        file.write_text(json.dumps(record))
        embeddings.unlink(missing_ok=True)
        assert left(refresh=True)[0] == []
