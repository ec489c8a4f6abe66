"""What each stored version was made from, so that a step alone never mixes what does not fit.

Beside every stored file lies ``made_from.json``: for each stored dataset that it was made from,
directly or not, a hash of that file's content. Equal content fits, whichever version it is of.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from guided_dml.errors import InputError

FILE = "made_from.json"


@cache
def content_hash(path: Path) -> str:
    """Return a hash of the bytes of a stored version, which never change."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def record(path: Path, made_from: Mapping[str, Path]) -> None:
    """Write down what a stored file was made from.

    Args:
        path: The stored file.
        made_from: The stored files that its node read, by the names of their datasets.
    """
    ancestors: dict[str, str] = {}
    for name, source in made_from.items():
        ancestors |= _ancestors(source) | {name: content_hash(source)}
    partial = path.with_name(f"{FILE}.partial")
    partial.write_text(json.dumps(ancestors, indent=2, sort_keys=True))
    partial.replace(path.with_name(FILE))


def check_fit(inputs: Mapping[str, Path], makers: Mapping[str, Iterable[str]]) -> None:
    """Refuse inputs of a run of which one was made from other content than the run would read.

    Args:
        inputs: The stored files that a run is going to read, by the names of their datasets.
        makers: For each dataset the pipelines that make it.

    Raises:
        InputError: Names the two that do not fit, and how to mend it.
    """
    contents = {name: content_hash(path) for name, path in inputs.items()}
    for name, path in inputs.items():
        for ancestor, content in _ancestors(path).items():
            if contents.get(ancestor, content) != content:
                raise InputError(
                    f"{name} ({path.parent.name}) was made from another {ancestor} than the one "
                    f"to be read now ({inputs[ancestor].parent.name}); make {name} anew (pipeline "
                    f"{', '.join(makers.get(name, ['?']))}), or bring back what fits with "
                    f"--load-versions={ancestor}:VERSION"
                )


def _ancestors(path: Path) -> dict[str, str]:
    file = path.with_name(FILE)
    if not file.exists():
        return {}
    ancestors: dict[str, str] = json.loads(file.read_text())
    return ancestors
