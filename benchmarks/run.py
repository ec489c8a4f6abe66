"""Measure speed beside named peers: `make bench`, or `python run.py retrieval training`.

Peers and ours alternate in one process; figures are medians with the range. Each part is written
to docs/benchmarks.md as soon as it is measured; the parts that were not asked for stay.
"""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import torch

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
#: `recall` trains for half an hour or more.
PARTS = (
    "retrieval",
    "training",
    "fullsize",
    "recall",
    "startup",
    "glue",
    "memory",
    "page",
    "serving",
)

Table = list[list[str]]


def provenance() -> str:
    """Return date, commit, machine and versions in a line."""
    git = ["git", "-C", str(PAGE.parent), "describe", "--always", "--dirty"]
    commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    processor = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    names = ("torch", "kedro", "mlflow", "scikit-learn", "pytorch-metric-learning")
    libraries = ", ".join(f"{name} {version(name)}" for name in names)
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit}, {torch.get_num_threads()} threads of "
        f"{processor[1] if processor else platform.processor()}, Python "
        f"{platform.python_version()}, {libraries}"
    )


def markdown(rows: Table) -> str:
    """Return a table, its first row the head."""
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write(part: str, text: str, origin: str) -> None:
    """Replace one part of the page; ``origin`` is the :func:`provenance` of its figures."""
    page = PAGE.read_text() if PAGE.exists() else ""
    start, end = f"<!-- {part} -->\n", f"<!-- end of {part} -->\n"
    block = f"{start}{text}\n\n*{origin}*\n{end}"
    if start in page:
        page = page[: page.index(start)] + block + page[page.index(end) + len(end) :]
    else:
        page += "\n" + block
    PAGE.write_text(page)


def main() -> None:
    """Measure the parts that are asked for, or all."""
    asked = sys.argv[1:] or list(PARTS)
    if unknown := set(asked) - set(PARTS):
        sys.exit(f"unknown: {', '.join(unknown)}; known: {', '.join(PARTS)}")
    origin = provenance()  # (of the code that is measured, not of what is edited meanwhile)
    for part in asked:
        measure: Callable[[], str] = import_module(f"parts.{part}").measure
        text = measure()
        print(text, flush=True)
        if "\n\nNot measured" not in text:  # (what was measured elsewhere stays on the page)
            write(part, text, origin)


if __name__ == "__main__":
    main()
