"""The whole guided way on real MNIST images, where they are at hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import PROJECT, run

BUILDER = PROJECT.parent / "shared" / "data" / "build.py"


@pytest.mark.skipif(not BUILDER.is_file(), reason="the real data are not at hand (../shared/data)")
def test_mnist_from_files_to_scores(project: Path) -> None:
    root = project / "data" / "01_raw" / "torchvision"
    subprocess.run([sys.executable, BUILDER, root, "mnist"], check=True, capture_output=True)
    saved = run(
        project,
        env="mnist",
        params={
            "tracking": False,
            "data": {"images_per_class": 100},
            "gemini": {"epochs": 6},
            "student": {"epochs": 8, "batch_size": 50},
            "compute": {"device": "cpu"},
        },
    )
    reports = project / "data" / "08_reporting" / "mnist"
    report = json.loads((reports / "data_report.json" / saved / "data_report.json").read_text())
    assert report["train"]["images_read"] == 60_000
    assert report["checksums_differ"] == []
    assert set(report["test"]["images_of_class"].values()) == {100}
    scores = json.loads((reports / "guided" / "scores.json" / saved / "scores.json").read_text())
    assert scores["recall_at_1"] > 0.6  # (chance is 0.1; measured 0.78)
    assert scores["map_at_r"] > 0.25  # (chance is 0.01; measured 0.42)
