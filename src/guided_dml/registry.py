"""Exports as MLflow's logged models, and what its registry calls them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from shutil import copy, copytree, ignore_patterns
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from guided_dml.errors import InputError, one_of
from guided_dml.inference.card import Card
from guided_dml.inference.predictor import ANSWER, PARTS
from guided_dml.methods import pipeline_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: What a logged model needs to be installed.
NEEDS = ("mlflow", "numpy", "onnxruntime", "pandas", "pillow", "safetensors")

#: The tag of a registered version that names the version of the stored export.
EXPORT = "export"


def log_model(
    client: MlflowClient,
    experiment: str,
    run: str,
    name: str,
    export: str,
    files: Mapping[str, Path],
) -> None:
    """Log and register an export, once.

    Args:
        client: Of the store.
        experiment: The experiment's number.
        run: The number of the run that made the export.
        name: What the registered model is called.
        export: Version of the stored export.
        files: The export's, by their names in ``PARTS``.
    """
    from mlflow.exceptions import MlflowException

    if any(found.tags.get(EXPORT) == export for found in _versions(client, name)):
        return
    model = client.create_logged_model(experiment, name, source_run_id=run)
    # A folder of its own: the model's description names the places of its files.
    with TemporaryDirectory(prefix="export-") as folder:
        built = _build(Path(folder), files, model.model_id, run)
        client.log_model_artifacts(model.model_id, str(built))
    client.finalize_logged_model(model.model_id, "READY")
    try:
        client.create_registered_model(name)
    except MlflowException:  # (it is there)
        client.get_registered_model(name)
    source, tags = model.artifact_location, {EXPORT: export}
    client.create_model_version(name, source, run, tags, model_id=model.model_id)


def promote(client: MlflowClient, name: str, alias: str, number: int | None) -> int:
    """Let an alias stand for a version of a registered model.

    Args:
        client: Of the store.
        name: The registered model's.
        alias: Such as ``champion``.
        number: The version; None: the newest.

    Returns:
        The version's number.

    Raises:
        InputError: There is no such model or version.
    """
    known = sorted(int(found.version) for found in _versions(client, name))
    if not known:
        raise _not_registered(name)
    number = number or known[-1]
    if number not in known:
        raise InputError(f"{name} has no version {number}; it has {one_of(known)}")
    client.set_registered_model_alias(name, alias, str(number))
    return number


def export_of(client: MlflowClient, name: str, alias: str) -> str:
    """Return the version of the stored export that an alias stands for.

    Raises:
        InputError: There is no such model or alias.
    """
    from mlflow.exceptions import MlflowException

    try:
        aliases = client.get_registered_model(name).aliases
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise _not_registered(name) from error
    if alias not in aliases:
        raise InputError(
            f"{name} has no alias {alias!r}; it has {one_of(aliases) or 'none'}: kedro promote "
            "sets one"
        )
    found = client.get_model_version_by_alias(name, alias)
    if EXPORT not in found.tags:
        raise InputError(
            f"{name}: {alias} is version {found.version}, which is no export of this project; "
            "kedro promote chooses another"
        )
    return str(found.tags[EXPORT])


def _not_registered(name: str) -> InputError:
    method, _, data_set = name.partition("-")
    remedy = f"kedro run --env {data_set} --pipelines={pipeline_of(method, 'export')}"
    return InputError(f"no model {name} is registered; once it is trained, run {remedy}")


def _versions(client: MlflowClient, name: str) -> list[Any]:
    """Return the versions that are exports; people can register others by hand."""
    found = client.search_model_versions(f"name = '{name}'")
    return [version for version in found if EXPORT in version.tags]


def _build(folder: Path, files: Mapping[str, Path], model: str, run: str) -> Path:
    """Write the model, and return its folder."""
    import mlflow.pyfunc
    from mlflow.models import Model

    here = Path(__file__).parent
    parts = {name: folder / file for name, file in PARTS.items()}
    for name, place in parts.items():
        copy(files[name], place)
    package = folder / "guided_dml"
    copytree(here / "inference", package / "inference", ignore=ignore_patterns("__pycache__"))
    for file in ("__init__.py", "errors.py"):
        copy(here / file, package)
    card = Card.of(json.loads(parts["card"].read_bytes()), files["card"])
    mlflow.pyfunc.save_model(
        folder / "model",
        python_model=str(here / "logged_model.py"),
        mlflow_model=Model(model_id=model, run_id=run),
        artifacts={name: str(place) for name, place in parts.items()},
        code_paths=[str(package)],
        signature=_signature(),
        input_example=_example(card),
        pip_requirements=[f"{needed}=={version(needed)}" for needed in NEEDS],
    )
    return folder / "model"


def _example(card: Card) -> Any:
    """Return an image of one colour as the input that the model is tried with."""
    import pandas as pd
    from PIL import Image

    channels, height, width = card.image_shape
    content = BytesIO()
    Image.new("L" if channels == 1 else "RGB", (width, height)).save(content, "PNG")
    return pd.DataFrame({"image": [content.getvalue()]})


def _signature() -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import Array, DataType

    kinds: dict[str, Any] = {
        "known": DataType.boolean,
        "neighbours": Array(DataType.string),
        "neighbour_labels": Array(DataType.string),
        "distances": Array(DataType.double),
        "neighbour_numbers": Array(DataType.long),
        **dict.fromkeys(("label", "error"), DataType.string),
    }
    answer: list[Any] = [
        ColSpec(kinds.get(n, DataType.double), n, required=False) for n in (*ANSWER, "error")
    ]
    parameters = [ParamSpec("k", DataType.long, 5), ParamSpec("alpha", DataType.double, 0.05)]
    image = ColSpec(DataType.binary, "image")
    return ModelSignature(Schema([image]), Schema(answer), ParamSchema(parameters))
