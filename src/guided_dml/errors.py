"""The one error that a user can mend: its message says what, where and what is allowed."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any


class InputError(ValueError):
    """Data, a parameter or the machine is not as the run needs it; shown without a traceback."""


class DivergedError(InputError):
    """A training's loss or weights are not finite."""


def one_of(names: Iterable[object]) -> str:
    """Return ``names`` as the list that ends an error message."""
    return ", ".join(sorted(map(str, names)))


def counted(number: int, name: str) -> str:
    """Return a number with the name of what is counted."""
    return f"{number:,} {name}" if number == 1 else f"{number:,} {name}s"


def known(what: str, asked: Iterable[str], names: Iterable[str]) -> None:
    """Check names that the user gave.

    Raises:
        InputError: Says which is not known, which may be meant, and which there are.
    """
    names = list(names)
    for name in asked:
        if name not in names:
            close = get_close_matches(name, names, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise InputError(f"unknown {what} {name!r}; {hint}known: {one_of(names) or 'none'}")


@contextmanager
def failing_as(message: str) -> Iterator[None]:
    """Raise InputError ``message`` and the reason for whatever error comes up within.

    What a damaged file makes a foreign reader raise is not documented, and of many kinds.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{message} ({last_line(error)})") from error


def last_line(error: Exception) -> str:
    """Return the last line of what an error says, or its name if it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[-1].strip()


def shown(value: Any) -> str:
    """Return a value as --params takes it."""
    return value if isinstance(value, str) else json.dumps(value)
