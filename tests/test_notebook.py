from __future__ import annotations

import json
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from conftest import PROJECT, copy_of_project, run


def test_the_notebook_reads_a_run(tmp_path: Path) -> None:
    place = copy_of_project(tmp_path / "project")
    run(place, params={"tracking": False})
    notebook = nbformat.read(PROJECT / "notebooks" / "read_a_run.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "commit it without outputs"
    (place / "notebooks").mkdir()
    where = {"metadata": {"path": place / "notebooks"}}
    NotebookClient(notebook, timeout=120, resources=where).execute()
    shown = [
        output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs
    ]
    pictures = [output for output in shown if "image/png" in output.get("data", {})]
    tables = [output for output in shown if "text/html" in output.get("data", {})]
    assert (len(pictures), len(tables)) == (2, 3)
    number = json.loads(next(place.glob("data/*/digits/image_names.json/*/*.json")).read_text())[
        "test"
    ][0]
    assert f"<td>{number}</td>" in tables[2]["data"]["text/html"]
