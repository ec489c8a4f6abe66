"""Every parameter of the project: its type, its range, its meaning.

The whole of ``conf/*/parameters*.yml`` and ``--params`` is held against :class:`Parameters`
before the first node runs; nodes receive the blocks as these models.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import BaseModel, Field, ValidationError, create_model

from guided_dml.blocks import (
    DEFINING,
    AuditParameters,
    Block,
    ComputeParameters,
    DataParameters,
    Defining,
    EvaluationParameters,
    GeminiParameters,
    InferenceParameters,
    PageParameters,
    RobustnessParameters,
    StudentParameters,
    TripletParameters,
)
from guided_dml.errors import InputError, one_of
from guided_dml.methods import METHODS

if TYPE_CHECKING:
    _OfMethods = Block
else:  # (a block a method, by its name; runs were stored that lack those which came later)
    _blocks = {name: (method | None, None) for name, method in METHODS.items()}
    _OfMethods = create_model("_OfMethods", __base__=Block, **_blocks)


class Parameters(_OfMethods):
    """All parameters of a run."""

    seed: Annotated[int, Field(ge=0, lt=2**32)]
    split_seed: Defining[Annotated[int, Field(ge=0, lt=2**32)]]
    tracking: bool
    recipe: str | None = None
    """The settings of ``conf/<data set>/recipes/NAME.yml``, laid over the data set's own."""
    data: DataParameters
    triplets: TripletParameters
    gemini: GeminiParameters
    student: StudentParameters
    evaluation: EvaluationParameters
    inference: InferenceParameters = InferenceParameters(images=None, k=5, alpha=0.05)
    audit: AuditParameters = AuditParameters()
    robustness: RobustnessParameters = RobustnessParameters()
    compute: ComputeParameters
    page: PageParameters = PageParameters()


def validated(raw: dict[str, Any], methods: Iterable[str] = METHODS) -> Parameters:
    """Check the parameters of a run.

    Args:
        raw: Nested dictionary, as Kedro's configuration loader returns it.
        methods: Those whose blocks have to be there.

    Returns:
        The same values as models.

    Raises:
        InputError: One line for each wrong parameter: its name, the value and what is allowed.
    """
    lines = [
        f"{name}: missing; methods/{name}.py needs its block in conf/base/parameters.yml"
        for name in methods
        if raw.get(name) is None
    ]
    try:
        parameters = Parameters.model_validate(raw)
    except ValidationError as error:
        lines += [_complaint(dict(item)) for item in error.errors()]
    if not lines:
        return parameters
    raise InputError("wrong parameters, nothing was run:\n  " + "\n  ".join(lines))


def _complaint(item: dict[str, Any]) -> str:
    name = ".".join(map(str, item["loc"]))
    if item["type"] == "extra_forbidden":
        *parents, last = item["loc"]
        known = list(_block_at(parents).model_fields)
        close = get_close_matches(str(last), known, n=1)
        hint = ""
        if close:
            hint = f"did you mean {'.'.join([*map(str, parents), close[0]])}? "
        elif not parents and isinstance(item["input"], dict):
            hint = f"a method's block needs its file methods/{last}.py; "
        return f"{name}: there is no such parameter; {hint}known here: {one_of(known)}"
    if item["type"] == "missing":
        return f"{name}: missing"
    allowed = item["msg"].removeprefix("Value error, ").replace("Input should be ", "must be ")
    return f"{name}: {item['input']!r} given; {allowed}"


def _block_at(path: list[Any]) -> type[BaseModel]:
    block: type[BaseModel] = Parameters
    for name in path:
        annotation = block.model_fields[name].annotation
        options = get_args(annotation) or (annotation,)
        block = next(option for option in options if isinstance(option, type))
    return block


def defining(parameters: BaseModel, prefix: str = "") -> dict[str, Any]:
    """Return the values of parameters that are marked ``Defining``, by their full names."""
    found: dict[str, Any] = {}
    for name, field in type(parameters).model_fields.items():
        value = getattr(parameters, name)
        if isinstance(value, BaseModel):
            found |= defining(value, f"{prefix}{name}.")
        elif DEFINING in field.metadata:
            found[prefix + name] = value
    return found


def read_by(inputs: Iterable[str], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those values, by their full names, that nodes with such inputs read.

    A node's input is a parameter (``params:student.epochs``), or a block of them.
    """
    read = tuple(f"{name[7:]}." for name in inputs if name.startswith("params:"))
    return {name: value for name, value in values.items() if f"{name}.".startswith(read)}


def flat(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value with its full name (``student.epochs``)."""
    for name, value in nested.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
