"""What each stored version was made from and with, so that a step never mixes what does not fit.

Beside every stored file lies ``made_from.json``: for each stored dataset that it was made from,
directly or not, a hash of that file's content, and the values of the parameters that define what
it is. Equal content fits, whichever version it is of.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from kedro.io import AbstractVersionedDataset, CatalogProtocol
from kedro.io.core import VersionNotFoundError
from pydantic import BaseModel, ValidationError

from guided_dml.errors import InputError, shown

logger = logging.getLogger(__name__)

FILE = "made_from.json"

Versioned = AbstractVersionedDataset[Any, Any]

READ_NOW = "the one to be read now ({}); bring back what fits with --load-versions={}:VERSION, or"


class Lineage(BaseModel):
    """The record beside a stored file.

    Attributes:
        made_from: Hashes of the content of its ancestors, by the names of their datasets.
        made_with: Values of the defining parameters that it and its ancestors were made with.
    """

    made_from: dict[str, str]
    made_with: dict[str, Any]


def versioned(
    catalog: CatalogProtocol[Any, Any], names: Iterable[str]
) -> Iterator[tuple[str, Versioned]]:
    """Yield those of ``names`` that are stored in versions, each with its dataset."""
    for name in sorted(names):
        dataset = catalog.get(name)
        if isinstance(dataset, AbstractVersionedDataset) and dataset._version:
            yield name, dataset


def stored_files(catalog: CatalogProtocol[Any, Any], names: Iterable[str]) -> dict[str, Path]:
    """Return the files behind those of ``names`` that are stored in versions."""
    return {name: Path(d._get_load_path()) for name, d in versioned(catalog, names)}


def stored_versions(dataset: Versioned) -> list[str]:
    """Return all versions, the newest first."""
    try:
        return dataset.list_versions(full_path=False)
    except VersionNotFoundError:
        return []


def stored_file(dataset: Versioned, version: str) -> Path:
    """Return where a version is stored."""
    return Path(dataset._get_versioned_path(version))


def made_from(path: Path, ancestors: Mapping[str, Versioned]) -> dict[str, Path]:
    """Return which stored files a file was made from, as far as they are there.

    Args:
        path: The file.
        ancestors: Datasets, by the names of which its record tells their content.
    """
    lineage, found = _lineage(path), dict[str, Path]()
    recorded = lineage.made_from if lineage else {}
    for name, dataset in ancestors.items():
        versions = stored_versions(dataset)
        versions.sort(key=lambda version: version != path.parent.name)  # (it is mostly this one)
        files = (stored_file(dataset, version) for version in versions)
        fitting = next((f for f in files if content_hash(f) == recorded.get(name)), None)
        if fitting:
            found[name] = fitting
    return found


def is_whole(path: Path) -> bool:
    """Return whether a file of JSON or tensors is there to its end; others are not looked into."""
    from safetensors import SafetensorError, safe_open

    try:
        if path.suffix == ".json":
            json.loads(path.read_bytes())
        elif path.suffix == ".safetensors":
            with safe_open(path, "np"):
                pass
    except (OSError, ValueError, SafetensorError):
        return False
    return True


@cache
def content_hash(path: Path) -> str:
    """Return a hash of the bytes of a stored version, which never change."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def record(path: Path, made_from: Mapping[str, Path], made_with: Mapping[str, Any]) -> None:
    """Write down what a file that is about to be stored is made from.

    Args:
        path: The file.
        made_from: The stored files that its node read, by the names of their datasets.
        made_with: The defining parameters that its node read, by their full names.
    """
    lineage = Lineage(made_from={}, made_with={})
    for name, source in made_from.items():
        above = _lineage(source)
        if above:  # (raw data have none)
            lineage.made_from |= above.made_from
            lineage.made_with |= above.made_with
        lineage.made_from[name] = content_hash(source)
    lineage.made_with |= made_with
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{FILE}.partial")
    partial.write_text(lineage.model_dump_json(indent=2))
    partial.replace(path.with_name(FILE))


def check_fit(
    inputs: Mapping[str, Path],
    makers: Mapping[str, Iterable[str]],
    parameters: Mapping[str, Any],
    *,
    evaluates: bool = False,
) -> None:
    """Refuse stored inputs that do not fit each other or the parameters of a run.

    Args:
        inputs: The stored files that a run is going to read, by the names of their datasets.
        makers: For each dataset the pipelines that make it; none: it is raw data.
        parameters: The defining parameters of the run, by their full names.
        evaluates: Whether the run embeds images as its parameters say, flip averaging or not.

    How many images of a class there are is as they are stored, and what shapes a trained network
    is read from its card: parameters that say otherwise are named in one line and do not count.

    Raises:
        InputError: Names all that do not fit, and how to mend it.
    """
    broken = [
        ((f"is damaged; remove {path.parent}, or", ", ".join(makers[name])), [name])
        for name, path in inputs.items()
        if not is_whole(path)
    ]
    if broken:
        raise InputError("\n  ".join(_complaint(*one, inputs) for one in broken))
    contents = {
        name: (content_hash(path), READ_NOW.format(path.parent.name, name))
        for name, path in inputs.items()
    }
    complaints, stands = dict[tuple[str, str], list[str]](), dict[str, Any]()
    for name, path in inputs.items():
        lineage = _lineage(path)
        whys: list[str] = []
        if lineage is not None:
            whys += [*_other_content(name, lineage, contents)][:1]
            others = _others(lineage, parameters)
            stands |= _standing(name, others)
            whys += [_other_parameter(*item, parameters) for item in others.items()]
        elif makers[name]:
            whys = [f"has no record of what it was made from; remove {path.parent}, or"]
        for why in whys:
            complaints.setdefault((why, ", ".join(makers[name])), []).append(name)
    if complaints:
        raise InputError("\n  ".join(_complaint(*item, inputs) for item in complaints.items()))
    if evaluates:  # (in either way)
        stands.pop("evaluation.flip_average", None)
    if stands:
        has = ", ".join(f"{name}={shown(value)}" for name, value in sorted(stands.items()))
        logger.warning("what is stored has %s; this counts, not the parameters", has)


def is_made_with(name: str, path: Path, parameters: Mapping[str, Any]) -> bool:
    """Return whether the parameters of a run are those of a stored file, as far as it tells."""
    lineage = _lineage(path)
    others = _others(lineage, parameters) if lineage else {}
    _standing(name, others)
    return not others


def _complaint(reason: tuple[str, str], names: list[str], inputs: Mapping[str, Path]) -> str:
    """Return what is wrong with the first of ``names``, and whom else that concerns."""
    (why, makers), (first, *others) = reason, names
    also = f"; the same holds for {', '.join(others)}" if others else ""
    version = inputs[first].parent.name
    return f"{first} ({version}) {why} make {first} anew (pipeline {makers}){also}"


def _other_content(
    name: str, lineage: Lineage, contents: dict[str, tuple[str, str]]
) -> Iterator[str]:
    for ancestor, content in lineage.made_from.items():
        known, whose = contents.setdefault(ancestor, (content, f"that of {name};"))
        if content != known:
            yield f"was made from another {ancestor} than {whose}"


def _others(lineage: Lineage, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that a file was made with, where the run has other values."""
    made_with = lineage.made_with.items()
    return {name: v for name, v in made_with if name in parameters and parameters[name] != v}


def _standing(name: str, others: dict[str, Any]) -> dict[str, Any]:
    """Take out of ``others`` what counts as it is stored."""
    method, of_method, what = name.partition(".")
    on_card = ["student.", f"{method}."] if of_method else []
    if of_method and not what.endswith("_embeddings"):
        on_card.append("evaluation.flip_average")
    known = [other for other in others if other.startswith(("data.images_per_class", *on_card))]
    return {other: others.pop(other) for other in known}


def _other_parameter(name: str, value: Any, parameters: Mapping[str, Any]) -> str:
    before, now = shown(value), shown(parameters[name])
    how = f"--params {name}={before}"
    if isinstance(value, list):  # (which --params does not take)
        how = f"{name}: {before} in parameters.yml"
    return f"was made with {name}={before}, now it is {now}; run with {how}, or"


def _lineage(path: Path) -> Lineage | None:
    """Return the record beside a file; None if there is none, or it is damaged."""
    try:
        return Lineage.model_validate_json(path.with_name(FILE).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
