from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import pytest

from conftest import kedro
from guided_dml.prune import prune_versions
from guided_dml.tracking import PENDING

MADE = [f"2026-01-0{day}T00.00.00.000Z" for day in (1, 2, 3)]


def store(dataset: Path, *versions: str) -> Path:
    for version in versions:
        (dataset / version).mkdir(parents=True)
        (dataset / version / dataset.name).write_text("x" * 1000)
    return dataset


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*Z"))


def test_the_newest_of_each_are_kept(project: Path) -> None:
    data = project / "data"
    first = store(data / "08_reporting/digits/a.json", *MADE)
    store(data / "08_reporting/digits/guided/b.json", *MADE)
    unfinished, under_way = (
        first / version for version in ("2025-12-31T00.00.00.000Z", "2026-02-01T00.00.00.000Z")
    )
    unfinished.mkdir()
    (unfinished / "a.json.partial").write_text("x")
    under_way.mkdir()
    checkpoints = data / "06_models" / "digits" / "checkpoints"
    checkpoints.mkdir(parents=True)
    for name, age in (("abandoned", 2 * 24 * 3600), ("under way", 60)):
        (checkpoints / name).write_text("x")
        os.utime(checkpoints / name, (time.time() - age, time.time() - age))

    result = kedro(project, "prune", "--keep", "2")
    assert result.exit_code == 0
    assert [path.name for path in checkpoints.iterdir()] == ["under way"]
    assert result.output == "removed 3 versions, freed 0.0 MB, kept the newest 2\n"
    assert left(data) == sorted([*MADE[1:], *MADE[1:], under_way.name])
    assert kedro(project, "prune", "--keep", "0").exit_code == 2


def test_raw_data_are_never_touched(tmp_path: Path) -> None:
    raw = store(tmp_path / "data" / "01_raw" / "own" / "images.npz", *MADE)
    (tmp_path / "data" / "03_primary").symlink_to(raw.parent)
    assert prune_versions(tmp_path / "data", 1).removed == 0
    assert left(raw) == MADE


def test_folders_on_another_disk_are_followed_and_entered_once(tmp_path: Path) -> None:
    elsewhere = store(tmp_path / "disk" / "digits" / "w.safetensors", *MADE)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "06_models").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "loop").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "again").symlink_to(tmp_path / "disk")
    pruned = prune_versions(tmp_path / "data", 1)
    assert (pruned.removed, pruned.freed, pruned.failed) == (2, 2000, [])
    assert left(elsewhere) == MADE[-1:]


def test_a_version_that_is_a_link_goes_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    kept = store(tmp_path / "kept" / "a.json", MADE[0])
    dataset = store(tmp_path / "data" / "08_reporting" / "a.json", *MADE[1:])
    (dataset / MADE[0]).symlink_to(kept / MADE[0])
    (dataset / "2025-01-01T00.00.00.000Z").symlink_to("nowhere")
    assert prune_versions(tmp_path / "data", 1).removed == 3
    assert left(dataset) == MADE[-1:]
    assert (kept / MADE[0] / "a.json").read_text() == "x" * 1000


def test_the_inputs_of_a_run_under_way_stay(project: Path) -> None:
    dataset = store(project / "data" / "08_reporting" / "a.json", *MADE)
    (project / PENDING).mkdir(parents=True)
    with (project / PENDING / f"{MADE[0]}.jsonl").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        result = kedro(project, "prune", "--keep", "1")
    assert result.exit_code == 1
    assert f"the run {MADE[0]} is under way" in result.stderr
    assert left(dataset) == MADE
    assert kedro(project, "prune", "--keep", "1").exit_code == 0
    assert left(dataset) == MADE[-1:]


def test_what_cannot_be_removed_is_told_and_the_rest_goes(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = store(project / "data" / "08_reporting" / "a.json", *MADE)
    second = store(project / "data" / "08_reporting" / "b.json", *MADE)
    unlink = os.unlink

    def refusing(path: str, **options: int) -> None:  # (root may remove anything)
        if path == "a.json":
            raise PermissionError(1, "Operation not permitted", path)
        unlink(path, **options)

    monkeypatch.setattr(os, "unlink", refusing)
    result = kedro(project, "prune", "--keep", "1")
    assert isinstance(result.exception, SystemExit)  # (an error that the command caught)
    assert result.exit_code == 1
    assert "removed 2 versions" in result.stdout
    assert result.stderr.count("Operation not permitted") == 2
    assert left(first) == MADE
    assert left(second) == MADE[-1:]
