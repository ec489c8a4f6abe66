"""The one error that a user can mend: its message says what, where and what is allowed."""

from collections.abc import Iterable


class InputError(ValueError):
    """Data, a parameter or the machine is not as the run needs it; shown without a traceback."""


class DivergedError(InputError):
    """A training's loss or weights are not finite."""


def one_of(names: Iterable[object]) -> str:
    """Return ``names`` as the list that ends an error message."""
    return ", ".join(sorted(map(str, names)))
