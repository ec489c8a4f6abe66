from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from conftest import kedro
from exported import export_files
from guided_dml.errors import InputError
from guided_dml.inference.predictor import Predictor
from guided_dml.mlflow_store import TrackedRun, open_client, open_experiment
from guided_dml.registry import export_of

REFUSED = {
    ("triplet",): "once it is trained, run kedro run --env digits --pipelines=export_triplet",
    ("guided", "--version=7"): "guided-digits has no version 7; it has 1",
    ("guided", "--alias=latest"): "MLflow did not promote guided-digits: 'latest' alias name",
    ("gided",): "unknown method 'gided'; did you mean guided?",
    ("guided", "--env=didgits"): "unknown data set 'didgits'; did you mean digits?",
}


@pytest.fixture
def registered(exported_project: Path, tracked: Path) -> Path:
    """A project whose export is logged and registered twice over, as after a repeated upload."""
    shutil.copytree(exported_project / "data", tracked / "data", dirs_exist_ok=True)
    files = {name: str(path.relative_to(tracked)) for name, path in export_files(tracked).items()}
    for key in ("first", "second"):
        run = TrackedRun(open_experiment(tracked, "digits"), {"session": key}, key, {}, {})
        run.log_model("guided-digits", "2026-01-01T00.00.00.000Z", files)
        run.finish("FINISHED")
    return tracked


def test_an_export_is_registered_once_and_answers_without_pickle(
    registered: Path, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow  # (which takes its settings from ours as it is imported)

    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    result = kedro(registered, "promote", "guided")
    assert result.output == (
        "guided-digits: champion is version 1 now (models:/guided-digits@champion)\n"
    )
    client = open_client(registered)
    (only,) = client.search_model_versions("name = 'guided-digits'")
    assert only.tags == {"export": "2026-01-01T00.00.00.000Z"}
    assert export_of(client, "guided-digits", "champion") == "2026-01-01T00.00.00.000Z"
    with pytest.raises(InputError, match="has no alias 'best'; it has champion"):
        export_of(client, "guided-digits", "best")
    (registered / "conf" / "smaller").mkdir()
    (registered / "conf" / "smaller" / "globals.yml").write_text("dataset: digits")
    assert kedro(registered, "promote", "guided", "--env=smaller").output == result.output
    by_hand = client.create_model_version("guided-digits", str(registered))
    assert "champion is version 1 now" in kedro(registered, "promote", "guided").output
    client.set_registered_model_alias("guided-digits", "best", by_hand.version)
    with pytest.raises(InputError, match="best is version 2, which is no export of this project"):
        export_of(client, "guided-digits", "best")
    content = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(content, "PNG")
    monkeypatch.setattr(sys, "path", [*sys.path])  # (where MLflow puts the model's own code first)
    monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: client.tracking_uri)
    version = client.get_model_version_by_alias("guided-digits", "champion")
    model: Any = mlflow.pyfunc.load_model(version.source)
    logged = client.get_logged_model(model.metadata.model_id)
    assert (logged.artifact_location, logged.status) == (version.source, "READY")
    images = pd.DataFrame({"image": [content.getvalue(), b"no image"]})
    answers = model.predict(images, params={"k": 3})
    (expected, _) = predictor.answer(list(images["image"]), k=3)
    assert answers.iloc[0].drop("error").to_dict() == {
        name: value for name, value in expected.items() if name != "error"
    }
    assert "this is no image" in answers.error[1]
    for arguments, message in REFUSED.items():
        result = kedro(registered, "promote", *arguments)
        assert (result.exit_code, message in result.output) == (1, True), result.output
