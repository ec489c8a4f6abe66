"""The stored export that is served."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from kedro.io import CatalogProtocol

from guided_dml.errors import InputError, one_of
from guided_dml.inference.predictor import PARTS
from guided_dml.lineage import made_from, stored_file, stored_versions
from guided_dml.methods import pipeline_of

Catalog = CatalogProtocol[Any, Any]


class Export(NamedTuple):
    """The files of one export.

    Attributes:
        version: Of its description, ``model``.
        files: By the names in ``PARTS``, and ``gallery_images``.
    """

    version: str
    files: dict[str, Path]


def find_export(catalog: Catalog, data_set: str, method: str, version: str | None = None) -> Export:
    """Return the newest export that is whole, or that of ``version``.

    What it consists of is found by content: the description's record says what it was made from.

    Raises:
        InputError: There is none; says what is missing.
    """
    remedy = f"kedro run --env {data_set} --pipelines={pipeline_of(method, 'export')}"
    model = catalog[f"{method}.model"]
    stored = stored_versions(model)
    if version is not None and version not in stored:
        raise InputError(
            f"the export {version} of {method} on {data_set} is not stored here any more; stored: "
            f"{one_of(stored) or 'none'}"
        )
    problems = []
    for one in stored if version is None else [version]:
        files, missing = _files(catalog, method, stored_file(model, one))
        if not missing:
            return Export(one, files)
        problems.append(f"the export {one} of {method} on {data_set} lacks {one_of(missing)}")
    if problems:
        raise InputError(f"{problems[0]}; export anew: {remedy}")
    raise InputError(
        f"no export of {method} on {data_set} is stored; once it is trained, run {remedy}"
    )


def _files(catalog: Catalog, method: str, model: Path) -> tuple[dict[str, Path], list[str]]:
    """Return the files of an export by their parts' names, and the names of those missing."""
    names = [f"{method}.{part}" for part in PARTS]
    found = made_from(model, {name: catalog[name] for name in names})
    files = {name.partition(".")[2]: path for name, path in found.items()}
    if "gallery" in files:  # (saved by the same step, of which nothing is made)
        thumbnails = catalog[f"{method}.gallery_images"]
        place = stored_file(thumbnails, files["gallery"].parent.name)
        files |= {"gallery_images": place} if place.exists() else {}
    return files, [part for part in (*PARTS, "gallery_images") if part not in files]
