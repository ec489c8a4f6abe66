"""Ctrl-C ends a command, whatever it is doing: within seconds, with exit status 130.

An exception raised by the signal would not do: libraries catch it, and C code and joins of threads
put it off. So the process ends as if it were killed, which stored files survive: each is whole or
absent, and a training goes on from its last checkpoint.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache

#: Exit status after Ctrl-C, as shells have it.
INTERRUPTED = 130

#: Seconds that the last words may take; a second Ctrl-C does not wait for them.
GRACE = 5.0

#: Called, by a thread of their own, when the process is interrupted.
last_words: list[Callable[[], object]] = []

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@cache
def end_on_interrupt() -> None:
    """Let SIGINT and SIGTERM end this process, from now on and to its very end."""
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    threading.Thread(target=_watch, args=(told,), daemon=True).start()
    for number in SIGNALS:
        signal.signal(number, _begin_nothing_new)
    # (the system itself writes there, also while the main thread is in C code)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)


def end_at_once() -> None:
    """Let signals end this process with nothing more to be said: for what stores nothing."""
    signal.set_wakeup_fd(-1)
    for number in SIGNALS:
        signal.signal(number, lambda *_: os._exit(INTERRUPTED))


def _begin_nothing_new(*_: object) -> None:
    """Stop the main thread where it is; end the process if nothing else has."""
    time.sleep(GRACE)
    os._exit(INTERRUPTED)


def _watch(told: int) -> None:
    _wait(told)
    for work in (_say_last_words, _begin_nothing_new):
        threading.Thread(target=work, daemon=True).start()
    _wait(told)
    os._exit(INTERRUPTED)


def _wait(told: int) -> None:
    while os.read(told, 1)[0] not in SIGNALS:
        pass


def _say_last_words() -> None:
    with suppress(OSError):  # (nobody may be listening any more)
        below_a_bar = "\n" if sys.stderr.isatty() else ""
        os.write(2, f"{below_a_bar}interrupted; finished steps are stored\n".encode())
    for words in last_words:
        with suppress(Exception):  # (whatever state the main thread was stopped in)
            words()
    os._exit(INTERRUPTED)
