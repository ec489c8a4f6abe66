"""How long until a command answers, and until a run's first step is done."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from time import perf_counter

from parts.project import PROJECT, scratch_project
from parts.timing import Measured, alternate
from run import Table, markdown

KEDRO = str(Path(sys.executable).with_name("kedro"))


def command(*arguments: str) -> None:
    subprocess.run([KEDRO, *arguments], cwd=PROJECT, check=True, capture_output=True)


def first_step() -> float:
    """Start a run, stop it after its first step, and return the seconds until then."""
    with scratch_project() as folder:
        begin = perf_counter()
        process = subprocess.Popen(
            [KEDRO, "run"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert process.stdout is not None
        for line in process.stdout:
            if "[ 1/" in line:
                break
        else:
            raise RuntimeError("the run ended before its first step")
        seconds = perf_counter() - begin
        process.kill()
        process.communicate()
    return seconds


def largest_imports(*arguments: str) -> Table:
    """Return the packages that cost most, without what they import from others."""
    asked = [sys.executable, "-X", "importtime", KEDRO, *arguments]
    with scratch_project() as folder:
        done = subprocess.run(asked, cwd=folder, check=True, capture_output=True, text=True)
    seconds: dict[str, float] = {}
    for line in done.stderr.splitlines():
        own, _, name = (
            line.removeprefix("import time:").split("|") if line.count("|") == 2 else ("", "", "")
        )
        if own.strip().isdigit():
            package = name.strip().split(".")[0]
            seconds[package] = seconds.get(package, 0) + int(own) / 1e6
    largest = sorted(seconds.items(), key=lambda item: -item[1])[:8]
    return [["package", "own seconds"], *([name, f"{value:.2f}"] for name, value in largest)]


def measure() -> str:
    both = alternate(
        5, help=lambda: command("--help"), registry=lambda: command("registry", "list")
    )
    first = Measured([first_step() for _ in range(4)][1:])
    rows: Table = [
        ["command", "seconds"],
        ["`kedro --help`", both["help"].text()],
        ["`kedro registry list`", both["registry"].text()],
        ["`kedro run`, to the end of the first step, tracking on", first.text()],
    ]
    imports = largest_imports("run", "--pipelines=ingestion", "--params", "tracking=false")
    return (
        "## Start-up\n\nMedian (range), files cached.\n\n"
        + markdown(rows)
        + "\n\nOf what a run of "
        "ingestion imports (`-X importtime`, tracking off):\n\n" + markdown(imports)
    )
