"""The commit that results are told to be of."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from guided_dml.provenance import git_state


@pytest.mark.parametrize("dirty", [False, True])
def test_the_commit_is_told_and_whether_the_tree_has_changes(tmp_path: Path, dirty: bool) -> None:
    def git(*arguments: str) -> str:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
        done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    code = tmp_path / "code.py"
    code.write_text("1")
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        git(*command)
    code.write_text("2" if dirty else "1")
    assert git_state(tmp_path) == {"commit": git("rev-parse", "HEAD"), "dirty": dirty}
    code.write_text("3")
    assert git_state(tmp_path)["dirty"] is dirty  # (as when it was first asked)


def test_outside_of_git_there_is_no_commit(tmp_path: Path) -> None:
    assert git_state(tmp_path) == {"commit": "none", "dirty": False}
