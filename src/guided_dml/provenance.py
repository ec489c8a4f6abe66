"""What a result was made with: the commit, the device, the libraries, the memory it took."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path

LIBRARIES = (
    "torch",
    "torchvision",
    "timm",
    "pytorch-metric-learning",
    "scikit-learn",
    "kedro",
    "mlflow",
    "onnxruntime",
    "guided-dml",
)


@cache
def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that results depend on."""
    return {name: version(name) for name in LIBRARIES}


@cache
def git_state(project: Path) -> dict[str, str | bool]:
    """Return ``commit``, and whether the tree is ``dirty``; outside of git the commit is none.

    As they were when the process first asked: later edits are not what it computes with.
    """

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(project), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
        return done.stdout.strip()

    try:
        return {
            "commit": git("rev-parse", "HEAD"),
            "dirty": bool(git("status", "--porcelain")),
        }
    except (OSError, subprocess.CalledProcessError):
        return {"commit": "none", "dirty": False}


def device_name(device: str, threads: int) -> str:
    """Return the GPU's name, or the processor's with the number of threads."""
    import torch

    if device != "cpu" and torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    processors = Path("/proc/cpuinfo")
    names = processors.read_text().splitlines() if processors.exists() else []
    model = next((line.split(":")[1].strip() for line in names if "model name" in line), "")
    return f"CPU {model or platform.machine()}, {threads} thread{'s' * (threads > 1)}"


def start_peak_memory() -> None:
    """Let the peaks of this process's memory count from now on, where Linux allows it."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mb() -> float:
    """Return the process's largest resident memory, in MB, since the last start (or its own)."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        pass
    unit = 1 if sys.platform == "darwin" else 1024  # bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def peak_gpu_memory_mb() -> float:
    """Return the most memory that tensors took on the GPU, in MB, since the last start."""
    torch = sys.modules.get("torch")  # (without it there is none)
    return torch.cuda.max_memory_allocated() / 1e6 if torch and torch.cuda.is_available() else 0.0
