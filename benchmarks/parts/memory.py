"""Peak memory of a full CIFAR-10 run above a process that imports torch and trains one step."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from parts.project import PROJECT, scratch_project
from run import Table, markdown

RAW = PROJECT / "data/01_raw/torchvision"
DATA = 60_000 * 3 * 32 * 32 / 1e6
ONE_STEP = """
import torch, yaml
from guided_dml.models.embedder import build_embedder
from guided_dml.parameters import StudentParameters
from guided_dml.training.policy import Policy
raw = yaml.safe_load(open("conf/base/parameters.yml"))["student"] | {"stem": "own"}
model = Policy(torch.device("cpu")).place(build_embedder(0, 3, StudentParameters(**raw)))
optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
model(torch.randn(32, 3, 32, 32)).sum().backward()
optimiser.step()
"""
PEAK = """
import atexit, resource
atexit.register(lambda: print("PEAK", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
"""


def peak(code: str, *arguments: str, folder: Path = PROJECT) -> float:
    """Return a Python process's largest resident memory, in MB."""
    command = [sys.executable, "-c", PEAK + code, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return int(done.stdout.split("PEAK ")[1]) * 1024 / 1e6


def measure() -> str:
    if not (RAW / "cifar-10-batches-py").exists():
        return "## Peak memory\n\nNot measured: CIFAR-10 is not under data/01_raw/torchvision."
    step = peak(ONE_STEP)
    settings = "student.epochs=1,gemini.epochs=1,student.stem=own,student.momentum=0.9"
    main = "from guided_dml.__main__ import main; main()"
    with scratch_project() as project:
        (project / "data/01_raw/torchvision").symlink_to(RAW.resolve())
        run = peak(main, "--env=cifar10", "--params", settings, folder=project)
    rows: Table = [
        ["process", "peak, MB"],
        ["imports torch, trains one step of 32", f"{step:,.0f}"],
        ["a CIFAR-10 run, all images, one epoch each, tracking on", f"{run:,.0f}"],
        ["above", f"{run - step:,.0f}: {(run - step) / DATA:.2f} times the data ({DATA:.0f} MB)"],
    ]
    return "## Peak memory\n\n" + markdown(rows)
