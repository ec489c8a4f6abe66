"""The options of `kedro run`: a wrong name is told, with the known, before anything runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from kedro.framework.project import pipelines
from kedro.pipeline import Pipeline

from guided_dml.errors import InputError, known, one_of

#: The environments that are not data sets of their own; they describe the digits.
DEFAULT = (None, "", "base", "local")


def data_sets(conf: Path) -> list[str]:
    """Return the environments in a configuration folder that are data sets."""
    folders = (path.name for path in conf.iterdir() if path.is_dir())
    return sorted(set(folders).difference(DEFAULT))


def check(project: Path, options: dict[str, Any]) -> None:
    """Check all options of `kedro run` that name something.

    Raises:
        InputError: The first that is wrong, and what is known.
    """
    _check_environment(project, options)
    runner = options["runner"] or "SequentialRunner"
    if runner != "SequentialRunner":
        raise _no_such_runner(runner)
    known("setting in --runner-params", options["runner_params"], ["is_async"])
    asynchronous = options["runner_params"].get("is_async", False)
    if not isinstance(asynchronous, bool):
        raise InputError(f"--runner-params: is_async={asynchronous} given; must be true or false")
    asked = [*filter(None, [options["pipeline"]]), *options["pipelines"]] or ["__default__"]
    known("pipeline", asked, pipelines)
    chosen = sum((pipelines[name] for name in asked), Pipeline([]))
    _check_filters(chosen, options)


def check_runner(runner: str) -> None:
    """Refuse Kedro's runners that do several steps at once, also where Python starts the run.

    Args:
        runner: The runner, as text.

    Raises:
        InputError: It is one of them.
    """
    for name in ("ThreadRunner", "ParallelRunner"):
        if name in runner:
            raise _no_such_runner(name)


def _no_such_runner(name: str) -> InputError:
    return InputError(
        f"runner: {name} given; only SequentialRunner is possible: initial weights are "
        "drawn from PyTorch's one generator, which steps at the same time would share. To use "
        "all cores or machines for many runs: kedro compare"
    )


def _check_environment(project: Path, options: dict[str, Any]) -> None:
    source = options["conf_source"] or str(project / "conf")
    if "://" in source:
        raise InputError(f"--conf-source: {source} given; a folder of this machine is needed")
    conf = Path(source)
    if options["env"] == "":  # (of a variable that is not set: the digits would run in silence)
        raise InputError(f"--env: no name given; known: {one_of(data_sets(conf))}")
    environment = options["env"] or os.environ.get("KEDRO_ENV")
    if environment in DEFAULT or not conf.is_dir():
        return
    if environment not in data_sets(conf):
        raise InputError(
            f"unknown data set {environment!r}: there is no {conf.name}/{environment}; known: "
            f"{one_of(data_sets(conf))}"
        )


def _check_filters(chosen: Pipeline, options: dict[str, Any]) -> None:
    steps = [node.name for node in chosen.nodes]
    data = {name for name in chosen.datasets() if not name.startswith("params:")}
    tags = {tag for node in chosen.nodes for tag in node.tags}
    spaces = {node.namespace for node in chosen.nodes if node.namespace}
    names = {
        "tags": tags,
        **dict.fromkeys(["from_nodes", "to_nodes", "node_names"], steps),
        **dict.fromkeys(["from_inputs", "to_outputs"], data),
        "namespaces": spaces,
    }
    given = []
    for option in (option for option in names if options[option]):
        given.append("--nodes" if option == "node_names" else f"--{option.replace('_', '-')}")
        known(f"name in {given[-1]}", options[option], names[option])
    filters = {name: options[name] for name in names if name != "namespaces"}
    try:
        read = chosen.filter(**filters, node_namespaces=options["namespaces"]).inputs()
    except ValueError as error:
        raise InputError(f"no step fits {' and '.join(given)}") from error
    known("input in --load-versions", options["load_versions"], read & data)
