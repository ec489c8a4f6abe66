"""What stops an upload, and what does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from guided_dml.comparison import upload
from guided_dml.comparison.plan import Plan
from guided_dml.comparison.records import About
from guided_dml.errors import Interrupted
from scoreboard import about

PLAN = Plan([], About.model_validate(about()), tracking=True)


def test_ctrl_c_during_an_upload_is_not_taken_for_trouble_with_mlflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise Interrupted("SIGINT")

    monkeypatch.setattr(upload, "open_experiment", interrupted)
    with pytest.raises(Interrupted):
        upload.Uploader(tmp_path, PLAN)
