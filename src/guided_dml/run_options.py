"""The options of `kedro run`: a wrong name is told, with the known, before anything runs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from kedro.framework.project import pipelines
from kedro.pipeline import Pipeline

from guided_dml.errors import InputError, one_of


def data_sets(conf: Path) -> list[str]:
    """Return the environments in a configuration folder that are data sets."""
    folders = (path.name for path in conf.iterdir() if path.is_dir())
    return sorted(set(folders) - {"base", "local"})


def known(what: str, asked: Iterable[str], names: Iterable[str]) -> None:
    """Check names that the user gave.

    Raises:
        InputError: Says which is not known, which may be meant, and which there are.
    """
    names = list(names)
    for name in asked:
        if name not in names:
            close = get_close_matches(name, names, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise InputError(f"unknown {what} {name!r}; {hint}known: {one_of(names)}")


def check(project: Path, options: dict[str, Any]) -> None:
    """Check all that names something.

    Args:
        project: Its folder.
        options: Of `kedro run`, as the framework's function takes them.

    Raises:
        InputError: The first that is wrong, and what is known.
    """
    _check_environment(project, options)
    runner = options["runner"] or "SequentialRunner"
    if runner != "SequentialRunner":
        raise InputError(
            f"--runner: {runner} given; only SequentialRunner is possible: initial weights are "
            "drawn from PyTorch's one generator, which steps at the same time would share. To use "
            "all cores or machines for many runs: kedro compare"
        )
    known("setting in --runner-params", options["runner_params"], ["is_async"])
    asked = [*filter(None, [options["pipeline"]]), *options["pipelines"]] or ["__default__"]
    known("pipeline", asked, pipelines)
    chosen = sum((pipelines[name] for name in asked), Pipeline([]))
    _check_filters(chosen, options)
    read = _filtered(chosen, options).inputs()
    stored = [name for name in read if not name.startswith("params:") and name != "parameters"]
    known("input in --load-versions", options["load_versions"], stored)


def _check_environment(project: Path, options: dict[str, Any]) -> None:
    conf = Path(options["conf_source"] or project / "conf")
    environment = options["env"] or os.environ.get("KEDRO_ENV")
    if environment in (None, "", "base", "local") or not conf.is_dir():
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
    for option, names in {
        "from_nodes": steps,
        "to_nodes": steps,
        "node_names": steps,
        "from_inputs": data,
        "to_outputs": data,
        "tags": tags,
        "namespaces": spaces,
    }.items():
        shown = "nodes" if option == "node_names" else option.replace("_", "-")
        known(f"name in --{shown}", options[option], names)


def _filtered(chosen: Pipeline, options: dict[str, Any]) -> Pipeline:
    names = ("tags", "from_nodes", "to_nodes", "node_names", "from_inputs", "to_outputs")
    filters = {name: options[name] for name in names}
    try:
        return chosen.filter(**filters, node_namespaces=options["namespaces"])
    except ValueError as error:
        given = [f"--{name.replace('_', '-')}" for name, value in filters.items() if value]
        raise InputError(f"no step is left by all of {', '.join(given)} together") from error
