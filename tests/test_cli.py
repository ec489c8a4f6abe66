"""The commands as a person gives them."""

from __future__ import annotations

import logging
import os
import resource
import signal
import sys
from pathlib import Path

import pytest
from PIL import Image

from conftest import kedro, refusal, tracked_runs
from warm import Command

TINY = (
    "data.images_per_class=4,gemini.epochs=1,student.epochs=1,student.backbone=small_cnn,"
    "compute.device=cpu"
)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--params", "studnet.epochs=1"], ["studnet", "no such parameter", "student?"]),
        (["--params", "robustness.families=fog"], ["robustness.families", "'fog'", "known: all"]),
        (["--params", "robustness.ood=digits"], ["robustness.ood", "'digits'", "fashion_mnist"]),
        (["--params", "robustness.domain=digits"], ["robustness.domain", "'digits'", "null"]),
        (["--params", "student.epochs=none"], ["student.epochs: 'none' given"]),
        (["--params", "student.backbone=vgg"], ["student.backbone: 'vgg'", "resnet18", "cnn"]),
        (
            [
                "--params",
                "student.backbone=timm/test_resnet,student.pretrained=no.safetensors",
            ],
            ["student.pretrained: there is no file no.safetensors"],
        ),
        (["--env", ""], ["--env: no name given", "cifar10", "mnist"]),
        (["--env", "imagenet"], ["'imagenet'", "conf/imagenet", "cifar10", "mnist"]),
        (["--pipelines", "destillation"], ["'destillation'", "distillation", "gemini"]),
        (["--pipelines", "gemini"], ["no normalisation is stored", "digits", "ingestion"]),
        (
            ["--pipelines", "robustness"],
            ["no classes, no test_images, no train_images", "first run the pipeline ingestion"],
        ),
        (
            ["--pipelines", "robustness", "--params", "evaluation.batch_statistics=true"],
            ["evaluation.batch_statistics: true given", "set it to false"],
        ),
        (
            ["--pipelines", "export", "--params", "evaluation.batch_statistics=true"],
            ["evaluation.batch_statistics: true given", "embeds each image alone"],
        ),
        (
            ["--pipelines", "robustness_triplet", "--params", "evaluation.split=validation"],
            ["evaluation.split: 'validation' given", "test images"],
        ),
        (["--env", "image_folder"], ["data/01_raw/images", "no such folder"]),
        (["--runner", "ThreadRunner"], ["only SequentialRunner", "kedro compare"]),
        (["--runner", "no.such.Runner"], ["only SequentialRunner"]),
        (["--runner-params", "is_async=maybe"], ["is_async=maybe", "true or false"]),
        (["--pipeline", "gemini", "--pipelines", "gemini"], ["--pipelines"]),
        (
            ["--pipelines", "reporting", "--nodes", "write_report"],
            ["compared_runs: stored nowhere"],
        ),
        (["--tags", ","], ["--tags is given, but names nothing"]),
        (["--from-nodes", "["], ["--from-nodes is given"]),
        (["--runner-params", "workers=2"], ["'workers'", "is_async"]),
        (["--from-nodes", "train_gemimi"], ["--from-nodes", "did you mean train_gemini?"]),
        (["--to-nodes", "train_student"], ["--to-nodes", "guided.train_student"]),
        (["--nodes", "x"], ["--nodes", "known: ", "train_gemini"]),
        (["--from-inputs", "tripets"], ["did you mean triplets?"]),
        (["--to-outputs", "guided.scors"], ["did you mean guided.scores?"]),
        (["--namespaces", "margin"], ["'margin'", "known: guided"]),
        (["--tags", "x"], ["'x'"]),
        (
            ["--from-nodes", "train_gemini", "--to-nodes", "draw_triplets"],
            ["no step fits --from-nodes and --to-nodes"],
        ),
        (
            ["--load-versions", "guided.weights:2026-11-23T18.08.06.517Z"],
            ["'guided.weights'", "known: checkpoints", "raw_images"],
        ),
        (["--load-versions", "raw_images:1"], ["'raw_images'", "stored", "known: none"]),
        (["--conf-source", "s3://bucket/conf"], ["s3://bucket/conf", "a folder of this machine"]),
        (["--load-versions", "triplts:1", "--pipelines", "gemini"], ["did you mean triplets?"]),
        (["--params", "seed=${nothing}"], ["nothing"]),
        (["--conf-source", "data"], ["the configuration cannot be read: ", "/project/data/base"]),
    ],
)
def test_an_error_is_one_message_without_a_traceback(
    project: Path, arguments: list[str], words: list[str]
) -> None:
    message = refusal(project, "run", *arguments)
    for word in words:
        assert word in message
    assert not list((project / "data").rglob("*.*"))


def test_what_a_step_refuses_is_told_once(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    asked = "data.imbalance_factor=1000,tracking=false"
    message = refusal(project, "run", "--pipelines=ingestion", "--params", asked)
    assert message.startswith("Error: data.imbalance_factor: 1000 given; class ")
    assert "imbalance_factor" not in caplog.text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--params", "seed"], "`=`"),
        (["--params", "=1"], "empty"),
        (["--params", "a=1,a.b=[1"], "options"),
        (["--load-versions", "weights"], "dataset_name:"),
        (["--load-versions", "weights:a/b"], "a/b"),
        (["--conf-source", "nowhere"], "nowhere"),
        (["--config", "nowhere.yml"], "nowhere.yml"),
        (["--config", "pyproject.toml"], "options"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_options_that_cannot_be_read_are_told(
    project: Path, arguments: list[str], words: str
) -> None:
    result = kedro(project, "run", *arguments)
    assert result.exit_code == 2
    assert "Error: " in result.stderr
    assert words in result.stderr
    assert result.exception is None or isinstance(result.exception, SystemExit)


@pytest.mark.parametrize(
    "content", [b"student: {epochs: 1\n  - a: [", b"\xff\xfe: 1", b"seed: ${no}"]
)
def test_broken_configuration_is_told(project: Path, content: bytes) -> None:
    (project / "conf" / "mnist" / "parameters.yml").write_bytes(content)
    message = refusal(project, "run", "--env", "mnist")
    assert message.startswith("Error: the configuration cannot be read: ")


def test_a_run_ends_with_its_scores_and_where_to_look(
    project: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("guided_dml"), "propagate", True)
    with caplog.at_level("INFO", "guided_dml"):
        result = kedro(project, "run", "--params", f"{TINY},tracking=false")
    assert result.exit_code == 0, result.output
    assert "guided on digits, seed 0, test set" in caplog.text
    assert "raw pixels" in caplog.text
    assert "make mlflow" in caplog.text
    assert "[17/17]" in caplog.text


def test_the_deprecated_spelling_of_one_pipeline_works(project: Path) -> None:
    with pytest.warns(DeprecationWarning, match="--pipeline"):
        result = kedro(project, "run", "--pipeline", "ingestion", "--params", "tracking=false")
    assert result.exit_code == 0, result.output


def test_a_broken_image_is_named(project: Path) -> None:
    for name in ("a", "b"):
        folder = project / "data" / "01_raw" / "images" / name
        folder.mkdir(parents=True)
        for i in range(5):
            Image.effect_noise((20, 20), 50).save(folder / f"{i}.png")
    broken = project / "data" / "01_raw" / "images" / "b" / "3.png"
    broken.write_bytes(broken.read_bytes()[:200])
    message = refusal(project, "run", "--env", "image_folder", "--params", "tracking=false")
    assert f"{broken}: this image is damaged" in message
    assert not list(project.glob("data/03_primary/**/*.safetensors"))


def test_ctrl_c_ends_the_run_plainly_and_marks_it_killed(project: Path) -> None:
    options = ("--params", f"{TINY},gemini.epochs=100000")
    with Command(project, "kedro", "run", *options) as command:
        command.wait_for("data/05_model_input/digits/triplets.safetensors/*/triplets*")
        command.wait_for("mlruns/mlflow.db")
        os.kill(command.pid or 0, signal.SIGINT)
        command.join(60)
    assert command.exitcode == 130
    assert "interrupted; finished steps are stored" in command.said()
    assert "Traceback" not in command.said()

    _, (run,) = tracked_runs(project)
    assert run.info.status == "KILLED"


def small_files_only() -> None:
    sys.dont_write_bytecode = True
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


def test_a_full_disk_leaves_the_last_good_versions(project: Path) -> None:
    """RLIMIT_FSIZE fails a write like a full disk does: in the middle of a file."""
    assert (
        kedro(project, "run", "--pipelines", "ingestion", "--params", "tracking=false").exit_code
        == 0
    )
    stored = sorted((project / "data").rglob("*Z/*"))

    options = ("--params", "tracking=false")
    with Command(project, "kedro", "run", *options, first=small_files_only) as command:
        command.join()
    assert command.exitcode == 1
    assert "Error: " in command.said()
    assert "File too large" in command.said()
    assert "Traceback" not in command.said()
    assert not list(project.rglob("*.partial"))
    whole = [path for path in (project / "data").rglob("*Z/*") if "images" in path.name]
    assert set(whole) <= set(stored)
    again = kedro(project, "run", "--pipelines", "triplets", "--params", "tracking=false")
    assert again.exit_code == 0, again.output


@pytest.mark.parametrize("port", ["0", "-1", "65536"])
def test_a_port_that_cannot_be_is_told(project: Path, port: str) -> None:
    result = kedro(project, "mlflow", "--port", port)
    assert result.exit_code == 2
    assert "'--port'" in result.stderr
