"""Seconds and memory of functions that take turns."""

from __future__ import annotations

import statistics
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, sleep
from typing import Any


@dataclass
class Measured:
    """Seconds of each turn, the largest growth of memory in MB, and the last result."""

    seconds: list[float] = field(default_factory=list)
    megabytes: float = 0.0
    result: Any = None

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def text(self, scale: float = 1.0, digits: int = 2) -> str:
        """Return the median and the range."""
        low, high = min(self.seconds) * scale, max(self.seconds) * scale
        return f"{self.median * scale:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def alternate(turns: int, **contestants: Callable[[], Any]) -> dict[str, Measured]:
    """Call each in turn; the first call counts for the memory only, watched by a thread."""
    measured = {name: Measured() for name in contestants}
    for turn in range(turns + 1):
        for name, work in contestants.items():
            of = measured[name]
            if turn == 0:
                with Peak() as peak:
                    of.result = work()
                of.megabytes = peak.megabytes
                continue
            begin = perf_counter()
            work()
            of.seconds.append(perf_counter() - begin)
    return measured


class Peak:
    """Watches how far this process's resident memory grows above where it began."""

    def __enter__(self) -> Peak:
        self.megabytes, self._over = 0.0, threading.Event()
        self._begin = resident()
        self._watcher = threading.Thread(target=self._watch)
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watcher.join()

    def _watch(self) -> None:
        while not self._over.is_set():
            self.megabytes = max(self.megabytes, resident() - self._begin)
            sleep(0.005)


def resident(process: int | str = "self") -> float:
    """Return a process's resident memory in MB."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * 4096 / 1e6
