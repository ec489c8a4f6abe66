"""SIGINT and SIGTERM, whatever a process is doing."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

BUSY = {
    "swallowing": "while True:\n try: time.sleep(60)\n except BaseException: pass",
    "joining": "t = threading.Thread(target=time.sleep, args=(60,)); t.start(); say(); t.join()",
    "at its exit": "threading.Thread(target=time.sleep, args=(60,)).start()",
    "in an exit handler": "import atexit; atexit.register(time.sleep, 60)",
    "logging": "while True: logging.warning('')",
    "collecting": "class A:\n def __del__(self): time.sleep(60)\nA()",
}
START = """
import logging, threading, time
from guided_dml import interruption
from guided_dml.interruption import end_on_interrupt, last_words
logging.disable()
def say(): print('ready', flush=True)
end_on_interrupt()
"""


@contextmanager
def started(code: str, before: str = "") -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", f"{START}{before}\nsay()\n{code}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("doing", BUSY)
def test_a_signal_ends_the_process(doing: str, number: signal.Signals) -> None:
    with started(BUSY[doing]) as process:
        process.send_signal(number)
        _, errors = process.communicate(timeout=4)
    assert process.returncode == 130
    assert errors == "interrupted; finished steps are stored\n"


def test_a_second_signal_does_not_wait_for_last_words() -> None:
    words = "last_words.append(lambda: (print('said', flush=True), time.sleep(60)))"
    with started("time.sleep(60)", words) as process:
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert process.stdout.readline() == "said\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=4) == 130


def test_last_words_that_hang_are_cut_short() -> None:
    words = "interruption.GRACE = 0.3; last_words.append(lambda: time.sleep(60))"
    with started("time.sleep(60)", words) as process:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=4) == 130
