from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from kedro.io import DatasetError
from kedro.io.core import Version

from conftest import PROJECT
from guided_dml.datasets.deferred import DeferredDataset

TABLE = pd.DataFrame({"epoch": [1, 2], "loss": [2.5, 1.25]})


def table(folder: Path, version: str | None = None) -> DeferredDataset:
    return DeferredDataset(
        filepath=str(folder / "table.csv"),
        dataset={"type": "pandas.CSVDataset", "save_args": {"index": False}},
        version=Version(None, version),
    )


def test_it_loads_and_saves_versions_like_the_other(tmp_path: Path) -> None:
    table(tmp_path, "1").save(TABLE)
    table(tmp_path, "2").save(TABLE * 2)
    assert (tmp_path / "table.csv/1/table.csv").read_text() == "epoch,loss\n1,2.5\n2,1.25\n"
    assert table(tmp_path).list_versions(full_path=False) == ["2", "1"]
    pd.testing.assert_frame_equal(table(tmp_path).load(), TABLE * 2)


def test_it_shows_the_others_preview_once_there_is_one(tmp_path: Path) -> None:
    assert not hasattr(table(tmp_path), "preview")
    table(tmp_path, "1").save(TABLE)
    preview = table(tmp_path).preview
    assert inspect.signature(preview).return_annotation == "TablePreview"
    assert preview(nrows=1)["data"] == [[1, 2.5]]


def test_an_error_of_the_other_is_shown(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no_such_module"):
        DeferredDataset(filepath=str(tmp_path / "a"), dataset={"type": "no_such_module.A"}).save(1)


def test_a_session_of_this_catalog_imports_no_library_that_no_step_needs_yet() -> None:
    entries = yaml.safe_load((PROJECT / "conf/base/catalog.yml").read_text())
    types = {entry["type"] for entry in entries.values()}
    code = (
        "import sys, kedro.io\n"
        f"for name in {sorted(types)}: kedro.io.core.parse_dataset_definition({{'type': name}})\n"
        "assert not {'torch', 'pandas', 'matplotlib', 'plotly', 'sklearn'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
