"""The one error that a user can mend: its message says what, where and what is allowed."""

from collections.abc import Iterable


class InputError(ValueError):
    """Data, a parameter or the machine is not as the run needs it; shown without a traceback."""


class DivergedError(InputError):
    """A training's loss or weights are not finite."""


class Interrupted(Exception):  # noqa: N818
    """The user or the system asked the run to stop (Ctrl-C, SIGTERM).

    Unlike KeyboardInterrupt an Exception, so that Kedro's error hooks see it.
    """


def interrupted(error: BaseException | None) -> bool:
    """Return whether ``error`` comes from an interruption (Kedro wraps what stops a save)."""
    while error is not None and not isinstance(error, Interrupted):
        error = error.__cause__
    return error is not None


def one_of(names: Iterable[object]) -> str:
    """Return ``names`` as the list that ends an error message."""
    return ", ".join(sorted(map(str, names)))
