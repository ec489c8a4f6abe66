"""Which export an alias of MLflow's registry serves."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from conftest import refusal
from exported import free_port
from guided_dml.mlflow_store import open_client
from guided_dml.registry import EXPORT
from guided_dml.serving.server import open_model

if TYPE_CHECKING:  # (MLflow takes its settings from ours as it is imported)
    from mlflow import MlflowClient

NEWER = "2999-01-01T00.00.00.000Z"


@pytest.fixture
def registry(tracked: Path) -> MlflowClient:
    """An empty registry."""
    return open_client(tracked)


def test_an_alias_serves_its_export_and_what_is_missing_is_told(
    exported_project: Path, project: Path, registry: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told() -> str:
        return refusal(project, "serve", "--port", free_port(), "--alias", "champion")

    assert "no model guided-digits is registered" in told()
    models = project / "data/06_models/digits/guided"
    shutil.copytree(exported_project / "data/06_models/digits/guided", models)
    (older,) = (models / "model.json").iterdir()
    shutil.copytree(older, older.with_name(NEWER))
    registry.create_registered_model("guided-digits")
    for version in (older.name, NEWER):
        registry.create_model_version("guided-digits", str(models), tags={EXPORT: version})
    registry.set_registered_model_alias("guided-digits", "winner", "2")
    assert "guided-digits has no alias 'champion'; it has winner" in told()

    registry.set_registered_model_alias("guided-digits", "champion", "1")
    assert open_model(project, "digits", "guided", "champion")[0].version == older.name
    assert open_model(project, "digits", "guided", "winner")[0].version == NEWER
    shutil.rmtree(older)
    assert f"the export {older.name} of guided on digits is not stored here any more" in told()

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert "--alias: champion given, but MLflow did not tell" in told()
