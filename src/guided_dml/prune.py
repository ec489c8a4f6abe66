"""Removing old versions; nothing else deletes, but for the checkpoints of finished runs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from time import time

#: How Kedro names a version.
VERSION = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}\.\d{2}\.\d{2}\.\d{3}Z")


#: Seconds after which a checkpoint is taken to be abandoned.
ABANDONED = 24 * 3600


def prune_versions(data: Path, keep: int) -> tuple[int, int]:
    """Remove all but the newest ``keep`` versions of every dataset under ``data``.

    A version is ``.../NAME/VERSION/NAME``. One that a killed run never finished, so without its
    file, does not count as a version and goes if it is older than the newest that is whole.
    Checkpoints of trainings that nobody took up again for a day go as well.

    Args:
        data: The project's data folder.
        keep: How many to keep of each, at least 1.

    Returns:
        The number of folders removed, and the bytes freed.
    """
    removed = freed = 0
    folders = [path for path in data.rglob("*") if path.is_dir() and VERSION.fullmatch(path.name)]
    for dataset in sorted({folder.parent for folder in folders}):
        versions = sorted((f for f in folders if f.parent == dataset), reverse=True)
        whole = [version for version in versions if (version / dataset.name).exists()]
        for version in versions:
            unfinished = version not in whole and whole and version < whole[0]
            if version in whole[keep:] or unfinished:
                freed += sum(file.stat().st_size for file in version.rglob("*") if file.is_file())
                shutil.rmtree(version)
                removed += 1
    for checkpoint in data.glob("06_models/*/checkpoints/*"):
        if time() - checkpoint.stat().st_mtime > ABANDONED:
            freed += checkpoint.stat().st_size
            checkpoint.unlink()
    return removed, freed
