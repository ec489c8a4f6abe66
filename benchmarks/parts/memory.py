"""Peak memory of a full CIFAR-10 run above a process that imports torch and trains one step."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from time import sleep

from parts.project import PROJECT, scratch_project
from run import Table, markdown

RAW = PROJECT / "data/01_raw/torchvision"
DATA = 60_000 * 3 * 32 * 32 / 1e6
ONE_STEP = """
import torch, yaml
from guided_dml.models.backbones import build_embedder
from guided_dml.blocks import StudentParameters
from guided_dml.training.policy import Policy
raw = yaml.safe_load(open("conf/base/parameters.yml"))["student"] | {"stem": "own"}
model = Policy(torch.device("cpu")).place(build_embedder(0, (3, 32, 32), StudentParameters(**raw)))
optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
model(torch.randn(32, 3, 32, 32)).sum().backward()
optimiser.step()
"""


#: Of a process: now resident, without pages of files, and the most that was ever resident.
SIZES = re.compile(r"(VmRSS|RssAnon|VmHWM):\s*(\d+) kB")

Peak = tuple[float, float]


def peaks(code: str, *arguments: str, folder: Path = PROJECT) -> tuple[Peak, dict[str, Peak]]:
    """Return the most that a Python process held, in MB: resident, and without pages of files.

    In all, and of each step that it logs.
    """
    whole, steps, now = dict[str, int](), dict[str, dict[str, int]](), dict[str, int]()
    with tempfile.NamedTemporaryFile("w+") as said, Path(said.name).open() as output:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments], cwd=folder, stdout=said, stderr=said
        )
        while process.poll() is None:
            status = Path(f"/proc/{process.pid}/status").read_text()
            for name, size in SIZES.findall(status):
                for largest in (whole, now):
                    largest[name] = max(largest.get(name, 0), int(size))
            for step in re.findall(r"\[ *\d+/\d+\] (\S+)", output.read()):
                steps[step], now = now, {}
            sleep(0.02)
        assert process.returncode == 0, Path(said.name).read_text()
    # (without those that began and ended between two looks)
    in_steps = {step: _peak(largest, "VmRSS") for step, largest in steps.items() if largest}
    return _peak(whole, "VmHWM"), in_steps


def _peak(largest: dict[str, int], resident: str) -> Peak:
    return largest[resident] * 1024 / 1e6, largest["RssAnon"] * 1024 / 1e6


def measure() -> str:
    if not (RAW / "cifar-10-batches-py").exists():
        return "## Peak memory\n\nNot measured: CIFAR-10 is not under data/01_raw/torchvision."
    step, _ = peaks(ONE_STEP)
    settings = "student.epochs=1,gemini.epochs=1,student.stem=own,student.momentum=0.9"
    main = "from guided_dml.__main__ import main; main()"
    with scratch_project() as project:
        (project / "data/01_raw/torchvision").symlink_to(RAW.resolve())
        entries = project / "conf/cifar10/catalog.yml"  # (files of another origin will do)
        entries.write_text(entries.read_text().replace("verify: true", "verify: false"))
        run, in_steps = peaks(main, "--env=cifar10", "--params", settings, folder=project)
    above = [
        f"{most - least:,.0f}: {(most - least) / DATA:.2f} times the data"
        for most, least in zip(run, step, strict=True)
    ]
    rows: Table = [
        ["process", "resident, MB", "without files, MB"],
        _row("imports torch, trains one step of 32", step),
        _row("a CIFAR-10 run, all images, one epoch each, tracking on", run),
        ["above", *above],
    ]
    largest = sorted(in_steps.items(), key=lambda item: item[1], reverse=True)[:6]
    steps: Table = [["step", "resident, MB", "without files, MB"]]
    steps += [_row(name, peak) for name, peak in largest]
    return (
        f"## Peak memory\n\nThe data: {DATA:.0f} MB. Resident memory counts the code of libraries "
        "and the images that are mapped\nfrom their files: pages that the system can drop when "
        "others need them. Without files: what has to stay.\n\n"
        f"{markdown(rows)}\n\nThe steps that take most, looked at 50 times a second:\n\n"
        f"{markdown(steps)}"
    )


def _row(name: str, peak: Peak) -> list[str]:
    return [name, *(f"{size:,.0f}" for size in peak)]
