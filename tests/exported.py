"""One exported model for all tests: guided on a few digits, with small_cnn."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest
from filelock import FileLock

from conftest import SMALL, copy_of_project, run
from guided_dml.inference.predictor import PARTS, Predictor

#: Enough validation images to tell distances apart.
PARAMETERS = SMALL | {"data": {"images_per_class": 40}, "tracking": False}


@pytest.fixture(scope="session")
def exported_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with an export, made once for all processes of the tests; only to be read."""
    base = tmp_path_factory.getbasetemp()
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "exported"
    with FileLock(f"{place}.lock"):
        if not (place / "done").exists():
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            copy_of_project(place)
            run(place, params=PARAMETERS)
            run(place, "export", params=PARAMETERS)
            (place / "done").touch()
    return place


def export_files(project: Path, method: str = "guided") -> dict[str, Path]:
    """Return the newest stored files of an export by their names."""
    folder = project / "data" / "06_models" / "digits" / method
    return {name: max(folder.glob(f"{file}/*/{file}")) for name, file in PARTS.items()}


@pytest.fixture(scope="session")
def predictor(exported_project: Path) -> Predictor:
    """The predictor of the exported model."""
    return Predictor.from_files(export_files(exported_project), threads=1)


def free_port() -> str:
    """Return a port that nothing uses now: other tests, in other processes, serve as well."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return str(place.getsockname()[1])
