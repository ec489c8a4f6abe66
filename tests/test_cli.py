"""The commands as a person gives them."""

from __future__ import annotations

import logging
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from kedro.framework.startup import bootstrap_project
from PIL import Image

from conftest import tracked_runs
from guided_dml.cli import cli

TINY = (
    "data.images_per_class=4,gemini.epochs=1,student.epochs=1,student.backbone=small_cnn,"
    "compute.device=cpu"
)


def kedro(project: Path, *arguments: str) -> Result:
    bootstrap_project(project)
    return CliRunner().invoke(cli, list(arguments))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--params", "studnet.epochs=1"], ["studnet", "no such parameter", "student?"]),
        (["--params", "student.epochs=none"], ["student.epochs: 'none' given"]),
        (["--params", "student.backbone=vgg"], ["student.backbone: 'vgg'", "'resnet18'", "cnn"]),
        (["--env", "imagenet"], ["'imagenet'", "conf/imagenet", "cifar10", "mnist"]),
        (["--pipelines", "destillation"], ["'destillation'", "distillation", "gemini"]),
        (["--pipelines", "gemini"], ["no normalisation is stored", "digits", "ingestion"]),
        (["--env", "image_folder"], ["data/01_raw/images", "no such folder"]),
    ],
)
def test_an_error_is_one_message_without_a_traceback(
    project: Path, arguments: list[str], words: list[str]
) -> None:
    result = kedro(project, "run", *arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr
    assert not list((project / "data").rglob("*.*"))


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
    assert "[16/16]" in caplog.text


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
    result = kedro(project, "run", "--env", "image_folder", "--params", "tracking=false")
    assert result.exit_code == 1
    assert f"{broken}: this image is damaged" in result.stderr
    assert not list(project.glob("data/03_primary/**/*.safetensors"))


def test_prune_keeps_the_newest_of_each(project: Path) -> None:
    made = [f"2026-01-0{day}T00.00.00.000Z" for day in (1, 2, 3)]
    for name in ("a.json", "guided/b.json"):
        for version in made:
            path = project / "data" / "08_reporting" / "digits" / name / version
            path.mkdir(parents=True)
            (path / Path(name).name).write_text("x" * 1000)
    unfinished = project / "data/08_reporting/digits/a.json/2025-12-31T00.00.00.000Z"
    unfinished.mkdir()
    (unfinished / "a.json.partial").write_text("x")
    under_way = project / "data/08_reporting/digits/a.json/2026-02-01T00.00.00.000Z"
    under_way.mkdir()
    raw = project / "data" / "01_raw" / "images" / "keep.png"
    raw.parent.mkdir(parents=True)
    raw.write_text("x")

    checkpoints = project / "data" / "06_models" / "digits" / "checkpoints"
    checkpoints.mkdir(parents=True)
    for name, age in (("abandoned", 2 * 24 * 3600), ("under way", 60)):
        (checkpoints / name).write_text("x")
        os.utime(checkpoints / name, (time.time() - age, time.time() - age))

    result = kedro(project, "prune", "--keep", "2")
    assert result.exit_code == 0
    assert [path.name for path in checkpoints.iterdir()] == ["under way"]
    assert result.output == "removed 3 versions, freed 0.0 MB, kept the newest 2\n"
    left = sorted(path.name for path in (project / "data").rglob("*Z"))
    assert left == sorted([*made[1:], *made[1:], under_way.name])
    assert raw.exists()
    assert kedro(project, "prune", "--keep", "0").exit_code == 2


def start(project: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "kedro", "run", *arguments]
    return subprocess.Popen(
        command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for(path: Path, pattern: str) -> None:
    deadline = time.monotonic() + 120
    while not list(path.glob(pattern)):
        assert time.monotonic() < deadline, f"{pattern} did not appear"
        time.sleep(0.05)


def test_ctrl_c_ends_the_run_plainly_and_marks_it_killed(project: Path) -> None:
    process = start(project, "--params", f"{TINY},gemini.epochs=100000")
    wait_for(project, "data/05_model_input/digits/triplets.safetensors/*/*")
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; finished steps are stored" in errors
    assert "Traceback" not in errors

    _, (run,) = tracked_runs(project)
    assert run.info.status == "KILLED"


def test_an_interruption_while_a_line_is_logged_is_not_lost(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python's logging swallows what is raised while it writes."""
    sent: list[str] = []

    class Interrupting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if not sent:
                sent.append(record.getMessage())
                try:
                    os.kill(os.getpid(), signal.SIGINT)
                except Exception:
                    self.handleError(record)

    handler = Interrupting()
    logging.getLogger("guided_dml").addHandler(handler)
    monkeypatch.setattr(logging, "raiseExceptions", False)
    try:
        result = kedro(project, "run", "--params", f"{TINY},tracking=false,gemini.epochs=1000")
    finally:
        logging.getLogger("guided_dml").removeHandler(handler)
    assert len(sent) == 1
    assert result.exit_code == 130
    assert "interrupted" in result.stderr


def test_a_full_disk_leaves_the_last_good_versions(project: Path) -> None:
    """RLIMIT_FSIZE fails a write like a full disk does: in the middle of a file."""
    assert (
        kedro(project, "run", "--pipelines", "ingestion", "--params", "tracking=false").exit_code
        == 0
    )
    stored = sorted((project / "data").rglob("*Z/*"))

    def small_files_only() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    process = subprocess.run(
        [sys.executable, "-m", "kedro", "run", "--params", "tracking=false"],
        cwd=project,
        preexec_fn=small_files_only,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert process.returncode == 1
    assert "Error: " in process.stderr
    assert "File too large" in process.stderr
    assert "Traceback" not in process.stderr
    assert not list(project.rglob("*.partial"))
    whole = [path for path in (project / "data").rglob("*Z/*") if "images" in path.name]
    assert set(whole) <= set(stored)
    again = kedro(project, "run", "--pipelines", "triplets", "--params", "tracking=false")
    assert again.exit_code == 0, again.output
