"""A project with this one's code and configuration, and data of its own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from run import PAGE

PROJECT = PAGE.parents[1]


@contextmanager
def scratch_project() -> Iterator[Path]:
    """Make it, and remove it at the end."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        shutil.copytree(PROJECT / "conf", project / "conf")
        for name in ("pyproject.toml", ".telemetry"):
            shutil.copy(PROJECT / name, project)
        (project / "src").mkdir()  # (the package itself is installed)
        (project / "data/01_raw").mkdir(parents=True)
        yield project
