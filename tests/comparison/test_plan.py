"""Which runs a comparison consists of, and the key of their settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import SMALL, run
from guided_dml.comparison.plan import plan_data_set
from guided_dml.comparison.sessions import merged
from guided_dml.errors import InputError


def test_data_are_prepared_once_and_again_for_other_parameters(project: Path) -> None:
    def planned(**change: Any) -> Any:
        small = merged(SMALL, change)
        return plan_data_set(project, "digits", "equal", ["margin", "guided"], 2, small)

    first, second = planned(), planned()
    assert first == second
    assert [(one.method, one.seed) for one in first.runs] == [
        ("margin", 0),
        ("guided", 0),
        ("margin", 1),
        ("guided", 1),
    ]
    reports = list(project.glob("data/08_reporting/digits/data_report.json/*"))
    assert len(reports) == 1
    other = planned(data={"images_per_class": 12})
    assert len(list(reports[0].parent.iterdir())) == 2
    assert other.runs[0].data_version != first.runs[0].data_version
    run(
        project, "ingestion", params={"tracking": False}
    )  # (as at first: another version, the same)
    assert [one.id for one in planned().runs] == [one.id for one in first.runs]


def test_other_raw_data_or_another_split_are_other_data(project: Path) -> None:
    (project / "conf" / "cells").mkdir()
    (project / "conf" / "cells" / "catalog.yml").write_text(
        "raw_images: {type: guided_dml.datasets.npz.NpzImagesDataset, filepath: data/cells.npz}\n"
    )

    def planned(images: int, **change: Any) -> str:
        rng = np.random.default_rng(images)
        pixels, labels = rng.integers(0, 256, (images, 8, 8), np.uint8), np.arange(images) % 2
        np.savez(project / "data" / "cells.npz", images=pixels, labels=labels)
        small = merged(SMALL, {"data": {"images_per_class": None} | change})
        return plan_data_set(project, "cells", "equal", ["margin"], 1, small).runs[0].data_version

    first = planned(60)
    assert planned(60) == first
    assert len({first, planned(600), planned(60, test_share=0.5)}) == 3


def test_tuned_settings_lie_below_what_is_asked_for(project: Path) -> None:
    with pytest.raises(InputError, match=r"margin is not tuned on digits.*tuned/margin.yml"):
        plan_data_set(project, "digits", "tuned", ["margin"], 1, SMALL)
    folder = project / "conf" / "digits" / "tuned"
    folder.mkdir()
    text = "student: {learning_rate: 0.25, epochs: 9}\nmargin: {beta: 2.5}\n"
    (folder / "margin.yml").write_text(text)
    (planned,) = plan_data_set(project, "digits", "tuned", ["margin"], 1, SMALL).runs
    assert planned.parameters["student"]["learning_rate"] == 0.25
    assert planned.parameters["student"]["epochs"] == SMALL["student"]["epochs"]
    assert planned.parameters["margin"] == {"beta": 2.5}
