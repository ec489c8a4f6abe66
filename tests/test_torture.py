"""The short form of `make torture`: a run killed where each training has a checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

import torture
from conftest import checkpoint_every_epoch, copy_of_project, run
from guided_dml.parameters import flat

#: A run that takes a few seconds after its imports.
PARAMETERS = {
    "gemini": {"epochs": 6},
    "student": {"epochs": 6, "backbone": "small_cnn"},
    "data": {"images_per_class": 40},
}
OPTIONS = ("--params", ",".join(f"{name}={value}" for name, value in flat(PARAMETERS)))


def has_checkpoint(name: str) -> torture.Moment:
    pattern = f"data/06_models/digits/checkpoints/{name}-*.safetensors"
    return lambda project: any(project.glob(pattern))


@pytest.mark.timeout(900)
def test_killed_runs_lose_nothing_and_leave_nothing_behind(tmp_path: Path) -> None:
    whole, project = (copy_of_project(tmp_path / name) for name in ("whole", "killed"))
    checkpoint_every_epoch(project)
    run(whole, params=PARAMETERS)
    for name in ("gemini", "guided"):
        assert torture.killed(project, has_checkpoint(name), *OPTIONS)
        assert torture.check_whole(project) > 0
    said = torture.succeeded(project, *OPTIONS)
    assert "gemini goes on after epoch 6 of 6" in said
    assert "student goes on after epoch" in said
    torture.check_end(project, torture.results(whole))
    *killed, last = torture.states(project)
    assert set(killed) <= {"KILLED"}  # (one killed in its first seconds may not be in MLflow yet)
    assert last == "FINISHED"
    assert torture.check_whole(project) > 40
