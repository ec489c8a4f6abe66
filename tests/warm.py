"""Commands in processes that are forked from one which has imported everything.

They are processes like any other, to be killed or interrupted; they only lack the ten seconds in
which Python imports PyTorch and the others.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

ForkServerContext().set_forkserver_preload(
    [
        "guided_dml.cli",
        "guided_dml.pipeline_registry",
        "guided_dml.training.fit",
        "guided_dml.models.backbones",
        "kedro_datasets.matplotlib.matplotlib_dataset",
        "mlflow.store.tracking.sqlalchemy_store",
        "sklearn.datasets",
        "torch._dynamo",
    ]
)


class Command(ForkServerProcess):
    """``python -m module arguments`` in a project, from the start to the end of a with block.

    Args:
        project: The working directory.
        module: What to run, ``kedro`` or ``guided_dml``.
        arguments: As a person gives them.
        first: Called in the process before all else.
    """

    def __init__(
        self,
        project: Path,
        module: str,
        *arguments: str,
        first: Callable[[], object] = os.getpid,
    ) -> None:
        super().__init__()
        self.project, self.command, self.first = project, [module, *arguments], first
        self.output = project / f"{self.name}.txt"

    def wait_for(self, pattern: str) -> None:
        """Wait until the project has a file of this pattern."""
        deadline = time.monotonic() + 240
        while not list(self.project.glob(pattern)):
            assert self.is_alive(), self.said()
            assert time.monotonic() < deadline, f"{pattern} did not appear"
            time.sleep(0.05)

    def run(self) -> None:
        """Run the module as the main program, its output in a file."""
        os.setsid()
        os.chdir(self.project)
        with self.output.open("w") as file:
            for number in (1, 2):
                os.dup2(file.fileno(), number)
        self.first()
        sys.argv = self.command
        runpy.run_module(self.command[0], run_name="__main__", alter_sys=True)

    def said(self) -> str:
        """Return the output so far, with the errors."""
        return self.output.read_text()

    def __enter__(self) -> Command:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing running, neither the process nor those that it has started."""
        assert self.pid
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.kill()
        self.join()
