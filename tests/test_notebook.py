from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
from nbclient import NotebookClient
from PIL import Image

from conftest import PROJECT, SMALL, copy_of_project, run


def executed(place: Path, name: str, settings: str = "") -> list[Any]:
    """Return what a notebook shows in a project, with settings in place of its own."""
    notebook = nbformat.read(PROJECT / "notebooks" / name, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "commit it without outputs"
    notebook.cells.insert(2, nbformat.v4.new_code_cell(settings))
    (place / "notebooks").mkdir()
    where = {"metadata": {"path": place / "notebooks"}}
    NotebookClient(notebook, timeout=200, resources=where).execute()
    return [
        output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs
    ]


def test_photographs_become_a_searchable_map(tmp_path: Path) -> None:
    place = copy_of_project(tmp_path / "project")
    rng = np.random.default_rng(0)
    for number, name in enumerate(("day", "night")):
        folder = place / "data" / "01_raw" / "images" / name
        folder.mkdir(parents=True)
        for i in range(20):
            pixels = rng.integers(0, 100, (40, 30, 3), np.uint8) + np.uint8(150 * number)
            Image.fromarray(pixels).save(folder / f"{i:02}.jpg")
    settings = SMALL | {"data": {"validation_share": 0.2}, "tracking": False}
    shown = executed(place, "photographs_to_map.ipynb", f"SETTINGS = {settings!r}")
    answers, page, found, sheet = [output["data"] for output in shown if "data" in output]
    assert "<td>night/" in answers["text/html"] + found["text/html"]
    (stored,) = place.glob("data/08_reporting/image_folder/guided/inference_page.html/*/*.html")
    assert f"../{stored.relative_to(place)}" in page["text/html"]
    assert "image/png" in sheet
    assert "day/00.jpg" in found["text/html"]


def test_the_notebook_reads_a_run(tmp_path: Path) -> None:
    place = copy_of_project(tmp_path / "project")
    run(place, params={"tracking": False})
    shown = executed(place, "read_a_run.ipynb")
    pictures = [output for output in shown if "image/png" in output.get("data", {})]
    tables = [output for output in shown if "text/html" in output.get("data", {})]
    assert (len(pictures), len(tables)) == (2, 3)
    number = json.loads(next(place.glob("data/*/digits/image_names.json/*/*.json")).read_text())[
        "test"
    ][0]
    assert f"<td>{number}</td>" in tables[2]["data"]["text/html"]
