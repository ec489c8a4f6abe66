"""A project with this one's code and configuration, and data of its own."""

from __future__ import annotations

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
        for name in ("conf", "src", "pyproject.toml"):
            (project / name).symlink_to(PROJECT / name)
        (project / "data/01_raw").mkdir(parents=True)
        yield project
