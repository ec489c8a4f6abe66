"""Which stored export is served."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import PROJECT, refusal
from exported import free_port
from guided_dml.comparison.sessions import session
from guided_dml.errors import InputError
from guided_dml.serving.export import Export, find_export

NEWER, BEFORE = "2999-01-01T00.00.00.000Z", "2000-01-01T00.00.00.000Z"


@pytest.fixture
def models(exported_project: Path, project: Path) -> Path:
    """A copy of the stored models of digits and guided, to work in."""
    place = project / "data" / "06_models" / "digits" / "guided"
    shutil.copytree(exported_project / "data/06_models/digits/guided", place)
    return place


@pytest.fixture
def find(project: Path) -> Callable[..., Export]:
    def find(version: str | None = None) -> Export:
        with session(project, "digits", {}) as (_, context):
            return find_export(context.catalog, "digits", "guided", version)

    return find


def versions(models: Path, file: str = "model.json") -> list[str]:
    return sorted(path.name for path in (models / file).iterdir())


def test_parts_are_found_by_content_whatever_their_version(
    models: Path, find: Callable[..., Export]
) -> None:
    (version,) = versions(models)
    (trained,) = versions(models, "card.json")
    for name in (NEWER, BEFORE):  # (another network's)
        shutil.copytree(models / "card.json" / trained, models / "card.json" / name)
        (models / "card.json" / name / "card.json").write_text("{}")
    export = find()
    assert export.version == version
    parts = {name: path.parent.name for name, path in export.files.items()}
    assert parts.pop("card") == trained
    assert set(parts) == {"network", "gallery", "gallery_names", "calibration", "gallery_images"}
    assert set(parts.values()) == {version}


def test_the_newest_whole_one_is_taken_and_an_older_one_on_demand(
    models: Path, find: Callable[..., Export]
) -> None:
    (version,) = versions(models)
    shutil.copytree(models / "model.json" / version, models / "model.json" / NEWER)
    assert find().version == NEWER
    assert find(version).version == version
    record = models / "model.json" / NEWER / "made_from.json"
    record.write_text(record.read_text().replace('"guided.network": "', '"guided.network": "x'))
    assert find().version == version
    with pytest.raises(InputError, match=f"the export {NEWER} of guided on digits lacks network"):
        find(NEWER)
    with pytest.raises(InputError, match=f"{BEFORE} of .* not stored here.*stored: .*{NEWER}"):
        find(BEFORE)


@pytest.mark.parametrize(
    "file", ["card.json", "network.onnx", "gallery.safetensors", "gallery_images.safetensors"]
)
def test_an_export_without_a_part_is_refused(models: Path, project: Path, file: str) -> None:
    shutil.rmtree(models / file)
    message = refusal(project, "serve", "--port", free_port())
    assert message.startswith("Error: the export ")
    assert "gallery" in message or file.partition(".")[0] in message
    assert "kedro run --env digits --pipelines=export" in message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["no export of guided on digits", "kedro run --env digits --pipelines=export"]),
        (["--method", "margin"], ["margin on digits", "--pipelines=export_margin"]),
        (["--method", "marge"], ["unknown method 'marge'", "margin"]),
        (["--env", "digit"], ["unknown data set 'digit'", "digits"]),
    ],
)
def test_without_an_export_the_way_to_one_is_told(
    project: Path, arguments: list[str], words: list[str]
) -> None:
    message = refusal(project, "serve", "--port", free_port(), *arguments)
    for word in words:
        assert word in message


def test_the_model_of_another_data_set_is_refused(models: Path, project: Path) -> None:
    models.parent.rename(project / "data" / "06_models" / "mnist")
    message = refusal(project, "serve", "--port", free_port(), "--env", "mnist")
    assert "this is guided-digits, not guided-mnist" in message


@pytest.mark.parametrize("file", ["card.json", "gallery.safetensors", "network.onnx"])
def test_what_docs_using_shows_refuses_parts_of_different_trainings(
    models: Path, project: Path, file: str
) -> None:
    without_project = re.findall(
        r"```python\n(.*?)```", (PROJECT / "docs" / "using.md").read_text(), re.S
    )[0]
    (version,) = versions(models, file)
    shutil.copytree(models / file / version, models / file / NEWER)
    newer = models / file / NEWER / file
    weights = json.loads(next(models.glob("card.json/2*/card.json")).read_text())["weights"]
    as_stored = bytes.fromhex(weights) if file.startswith("gallery") else weights.encode()
    assert newer.read_bytes().count(as_stored) == 1
    newer.write_bytes(newer.read_bytes().replace(as_stored, as_stored[::-1]))
    ran = [sys.executable, "-c", without_project]
    done = subprocess.run(ran, cwd=project, capture_output=True, text=True)
    assert done.returncode == 1
    assert "AssertionError: parts of different trainings" in done.stderr
