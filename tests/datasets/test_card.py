from __future__ import annotations

import subprocess
from pathlib import Path

from cards import card_of
from guided_dml.datasets.card import CardDataset
from guided_dml.parameters import Parameters


def test_a_card_names_the_commit_wherever_the_data_lie(
    tmp_path: Path, parameters: Parameters
) -> None:
    project, elsewhere = tmp_path / "project", tmp_path / "large disk"
    elsewhere.mkdir()
    project.mkdir()
    (project / "pyproject.toml").write_text("[tool.kedro]\n")
    (project / "data").symlink_to(elsewhere)
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], [*author, "commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", *command], cwd=project, check=True)
    asked = ["git", "rev-parse", "HEAD"]
    head = subprocess.run(asked, cwd=project, check=True, capture_output=True, text=True).stdout
    dataset = CardDataset(
        data_set="digits", filepath=str(project / "data/06_models/digits/guided/card.json")
    )
    dataset.save(card_of({}, parameters.student, {"mean": [0.0], "std": [1.0]}))
    assert dataset.load().made_by["commit"] == head.strip()
