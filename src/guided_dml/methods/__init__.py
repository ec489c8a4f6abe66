"""The methods to compare, one a file; every list of methods comes from here.

A file defines one :class:`~guided_dml.blocks.Method`, which is called like the file. The values of
its parameters are the block of that name in ``conf/base/parameters.yml``.
"""

from importlib import import_module
from pkgutil import iter_modules

from guided_dml.blocks import Method


def _defined_in(file: str) -> type[Method]:
    module = import_module(f"{__name__}.{file}")
    here = [value for value in vars(module).values() if isinstance(value, type)]
    found = [c for c in here if issubclass(c, Method) and c.__module__ == module.__name__]
    if len(found) != 1:
        raise ImportError(
            f"{module.__file__}: {len(found)} methods defined, but one a file is wanted"
        )
    return found[0]


#: The method of this project, which all others are tested against.
OURS = "guided"

#: Every method by its name, in the order of tables.
METHODS: dict[str, type[Method]] = {
    method.name: method
    for method in sorted(
        (_defined_in(file.name) for file in iter_modules(__path__)),
        key=lambda method: (method.place, method.name),
    )
}


def pipeline_of(method: str, step: str) -> str:
    """Return the name of a method's pipeline that runs on demand: guided's has that of the step."""
    return step if method == OURS else f"{step}_{method}"
