"""How pipelines are put together, and what their figures call a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kedro.pipeline import Node, Pipeline

from guided_dml.types import History

Names = str | list[str]


def step(
    function: Callable[..., Any], inputs: Names, outputs: Names, tags: str, name: str = ""
) -> Node:
    """Return a step that is called like its function."""
    return Node(function, inputs, outputs, name=name or function.__name__, tags=tags)


def within(
    namespace: str,
    nodes: list[Node],
    shared: set[str],
    outputs: set[str] | dict[str, str] | None = None,
) -> Pipeline:
    """Return steps in a namespace, with all that is not shared and no given output."""
    read = {name for node in nodes for name in node.inputs}
    parameters = {name for name in read if name.startswith("params:")}
    return Pipeline(
        nodes, namespace=namespace, inputs=shared & read, outputs=outputs, parameters=parameters
    )


def run_title(run: str, history: History) -> str:
    """Return ``guided on digits`` with the seed that its training had, whatever this run's is."""
    # (Histories that were stored before they held their seed remain readable.)
    return f"{run}, seed {history['seed'].iloc[0]}" if "seed" in history else run
