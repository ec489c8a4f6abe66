"""The reporting pipeline as a Kedro session over stored records."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conftest import run as run_session
from guided_dml.errors import InputError
from scoreboard import FOLDER, key, run, write_comparison, write_json

MADE = {
    "comparison_table.csv",
    "comparison_markdown.md",
    "comparison_latex.tex",
    "comparison_figure.png",
    "cost_figure.png",
    "comparison_severity_figure.png",
    "comparison_shift_figure.png",
    "comparison_few_shot_figure.png",
    "embedding_grid_figure.png",
    "atlas_page.html",
}


@pytest.fixture
def compared(project: Path) -> Path:
    """A project with two small comparisons and files that do not belong to them."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 10
    for data_set, channels in (("digits", 1), ("cifar10", 3)):
        images = rng.integers(0, 256, (60, channels, 8, 8), np.uint8)
        write_comparison(project, ["guided", "margin"], 3, images, labels, data_set=data_set)
    guided, margin = (f"digits/equal/{name}/{key(name)}" for name in ("guided", "margin"))
    write_json(project, "scoreboard", f"{guided}/seed_7", "{half a fi")
    write_json(project, "scoreboard", "digits/equal/guided/old/seed_0", run())
    write_json(project, "scoreboard", f"{margin}/seed_8", run("margin", 9))
    (project / FOLDER / "scoreboard" / "notes.txt").write_text("of somebody else")
    return project


def made(project: Path, version: str) -> dict[str, Path]:
    return {path.name: path for path in (project / FOLDER).glob(f"*/{version}/*")}


def test_everything_is_made_from_what_fits(compared: Path, warned: list[str]) -> None:
    version = run_session(compared, "reporting", env="mnist", params={"tracking": False})
    files = made(compared, version)
    assert set(files) - {"made_from.json"} == MADE
    table = pd.read_csv(files["comparison_table.csv"])
    assert set(table.n) == {3}
    assert set(table.data_set) == {"digits", "cifar10"}
    text = files["comparison_markdown.md"].read_text("utf-8")
    assert "Guided, seed 0 (60)" in files["atlas_page.html"].read_text("utf-8")
    assert text.index("## Digits") < text.index("## CIFAR-10")
    assert len(warned) == 2
    assert "seed_7 does not count: cannot be read" in warned[0]
    assert "seed_8 does not count: its content is that of" in warned[1]


def test_the_scores_are_reported_without_the_embeddings(compared: Path) -> None:
    """Records that are kept in a repository are all that a clone has."""
    for folder in ("embeddings", "images"):
        shutil.rmtree(compared / FOLDER / folder)
    version = run_session(compared, "reporting", params={"tracking": False})
    files = made(compared, version)
    assert set(files) - {"made_from.json"} == MADE
    assert "| Guided " in files["comparison_markdown.md"].read_text("utf-8")
    assert "no embedding is stored" in files["atlas_page.html"].read_text("utf-8")


@pytest.mark.parametrize("missing", ["current", "scoreboard"])
def test_nothing_to_report_on_is_one_message(project: Path, missing: str) -> None:
    if missing == "scoreboard":
        write_json(project, "current", "digits/equal", {})
    with pytest.raises(InputError, match=r"no .* stored; first run `kedro compare`"):
        run_session(project, "reporting", params={"tracking": False})
