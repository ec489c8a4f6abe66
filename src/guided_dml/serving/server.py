"""`kedro serve`: from a stored export to a server on this machine."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

from guided_dml.blocks import InferenceParameters
from guided_dml.comparison.sessions import session
from guided_dml.errors import InputError
from guided_dml.inference.calibration import check_alpha
from guided_dml.interruption import end_at_once
from guided_dml.parameters import validated
from guided_dml.serving.export import find_export
from guided_dml.serving.model import ServedModel

HOST = "127.0.0.1"

#: Seconds that answers which are being computed get, after Ctrl-C.
GRACE = 3


def serve(
    project: Path,
    env: str,
    method: str,
    port: int,
    alias: str | None = None,
    threads: int | None = None,
    *,
    say: Callable[[str], object],
) -> None:
    """Serve an export until Ctrl-C.

    Args:
        project: Its folder.
        env: The data set.
        method: Who trained the network.
        port: Of this machine.
        alias: The export that it stands for in MLflow's registry; None: the newest.
        threads: Answers that are computed at once; None: as many as there are cores.
        say: Shown on the terminal.

    Raises:
        InputError: There is no such export or alias, it does not fit, or the port is taken.
    """
    end_at_once()
    with _listening(port) as place:
        model, defaults = open_model(project, env, method, alias)
        from uvicorn import Config, Server  # (a second, that a message need not wait for)

        from guided_dml.serving.app import create_app

        config = Config(
            create_app(model, defaults, threads or os.cpu_count() or 1),
            ws="none",
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE,
        )
        say(
            f"http://{HOST}:{port}  {model.name}, export {model.version}, {len(model):,} training "
            "images; Ctrl-C ends it"
        )
        Server(config).run([place])


def open_model(
    project: Path, env: str, method: str, alias: str | None = None
) -> tuple[ServedModel, InferenceParameters]:
    """Return an export of a data set and method, and the project's k and alpha.

    Raises:
        InputError: There is none, or it does not fit.
    """
    with session(project, env, {}) as (_, context):
        loader = context.config_loader
        data_set = loader["globals"]["dataset"]
        version = _promoted(project, f"{method}-{data_set}", alias) if alias else None
        export = find_export(context.catalog, data_set, method, version)
        model = ServedModel(export, data_set, method)
        defaults = validated(loader["parameters"]).inference
        check_alpha(len(model.predictor.calibration), defaults.alpha)
        return model, defaults


def _promoted(project: Path, name: str, alias: str) -> str:
    """Return the version of the export that an alias stands for.

    Raises:
        InputError: There is no such alias, or the registry cannot be reached.
    """
    from mlflow.exceptions import MlflowException

    from guided_dml.mlflow_store import open_client, reason
    from guided_dml.registry import export_of

    try:
        return export_of(open_client(project), name, alias)
    except MlflowException as error:
        raise InputError(
            f"--alias: {alias} given, but MLflow did not tell what it stands for "
            f"({reason(error)}); without --alias the newest export is served"
        ) from error


def _listening(port: int) -> socket.socket:
    """Return a socket that listens; who comes early waits.

    Raises:
        InputError: The port is taken, or not for this user.
    """
    place = socket.socket()
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        place.bind((HOST, port))
        place.listen(128)
    except OSError as error:
        place.close()
        taken = error.errno == errno.EADDRINUSE
        why = "another program uses it" if taken else str(error.strerror)
        raise InputError(f"--port: {port} given; {why}, give another one") from error
    return place
