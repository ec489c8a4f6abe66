"""What Kedro, tracking and storing take of a digits run, once everything is imported."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from time import perf_counter
from typing import Any

from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.runner import SequentialRunner

from parts.project import scratch_project
from run import PAGE, Table, markdown


class Steps(logging.Handler):
    """Adds up the seconds that the run's own log gives its steps."""

    seconds = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        if found := re.search(r"\[ *\d+/\d+\] .* ([\d.]+) s$", record.getMessage()):
            self.seconds += float(found[1])


def run_once(project: Path, parameters: dict[str, Any]) -> tuple[float, float]:
    steps = Steps()
    logger = logging.getLogger("guided_dml")
    logger.addHandler(steps)
    begin = perf_counter()
    session: Any
    with KedroSession.create(project, runtime_params=parameters) as session:
        session.run(runner=SequentialRunner())
    total = perf_counter() - begin
    logger.removeHandler(steps)
    return total, steps.seconds


def measure() -> str:
    with scratch_project() as project:
        os.chdir(project)
        bootstrap_project(project)
        run_once(project, {"gemini": {"epochs": 1}, "student": {"epochs": 1}})
        total, steps = run_once(project, {})
        os.chdir(PAGE.parent)
    rows: Table = [
        ["digits run, imports done", "seconds"],
        ["in all", f"{total:.1f}"],
        ["in the steps", f"{steps:.1f}"],
        ["Kedro, tracking, storing, loading", f"{total - steps:.1f} ({1 - steps / total:.1%})"],
    ]
    return "## Kedro, tracking and storing\n\nOne run.\n\n" + markdown(rows)
