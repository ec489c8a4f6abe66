"""Removing old versions; nothing else deletes, but for the checkpoints of finished runs."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import time

#: How Kedro names a version.
VERSION = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}\.\d{2}\.\d{2}\.\d{3}Z")

#: Seconds after which a checkpoint is taken to be abandoned.
ABANDONED = 24 * 3600


@dataclass
class Pruned:
    """How many versions were removed, how many bytes freed, and what could not be removed: why."""

    removed: int = 0
    freed: int = 0
    failed: list[str] = field(default_factory=list)

    def drop(self, path: Path) -> bool:
        """Remove a file, a folder, or a link (not what it leads to)."""
        try:
            files = [path] if path.is_symlink() or path.is_file() else path.rglob("*")
            size = sum(file.lstat().st_size for file in files if not file.is_dir())
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        except OSError as error:
            self.failed.append(f"{error.filename or path}: {error.strerror}")
            return False
        self.freed += size
        return True


def prune_versions(data: Path, keep: int) -> Pruned:
    """Remove all but the newest ``keep`` versions of every dataset, but for raw data.

    A version is ``.../NAME/VERSION/NAME``. One that a killed run never finished, so without its
    file, does not count as a version and goes if it is older than the newest that is whole.
    Checkpoints of trainings that nobody took up again for a day go as well. What folders in
    ``data`` link to is part of it.
    """
    pruned = Pruned()
    for versions in _datasets(data):
        whole = [version for version in versions if (version / version.parent.name).exists()]
        for version in versions:
            unfinished = version not in whole and whole and version < whole[0]
            if version in whole[keep:] or unfinished:
                pruned.removed += pruned.drop(version)
    for checkpoint in data.glob("06_models/*/checkpoints/*"):
        if time() - checkpoint.lstat().st_mtime > ABANDONED:
            pruned.drop(checkpoint)
    return pruned


def _datasets(data: Path) -> Iterator[list[Path]]:
    """Yield the versions of each dataset, the newest first; each folder is entered once."""
    raw, seen = (data / "01_raw").resolve(), set()
    for folder, folders, files in os.walk(data, followlinks=True):
        here = Path(folder).resolve()
        if here in seen or here.is_relative_to(raw):
            folders.clear()
            continue
        seen.add(here)
        versions = sorted(filter(VERSION.fullmatch, folders + files), reverse=True)
        folders[:] = sorted(set(folders).difference(versions))
        if versions:
            yield [Path(folder, version) for version in versions]
