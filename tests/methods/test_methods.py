"""What holds for every method, and what the package makes of its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from guided_dml import methods
from guided_dml.errors import InputError
from guided_dml.methods import METHODS
from guided_dml.parameters import Parameters, validated
from guided_dml.pipeline_registry import register_pipelines


def test_tables_show_the_papers_methods_then_controls_then_others() -> None:
    first = ["guided", "siamese", "triplet", "margin", "multi_similarity", "anchors", "softmax"]
    others = list(METHODS)[len(first) :]
    assert list(METHODS) == first + sorted(others)
    assert len({method.title for method in METHODS.values()}) == len(METHODS)


def test_every_method_has_a_block_and_a_pipeline_under_its_name() -> None:
    pipelines = register_pipelines()
    for name, method in METHODS.items():
        assert method in get_args(Parameters.model_fields[name].annotation)
        assert {f"{name}.weights", f"{name}.scores"} <= pipelines[name].all_outputs()


TWO = """
from guided_dml.blocks import Method
class One(Method): title = "one"
class Other(One): title = "other"
"""


@pytest.mark.parametrize(("file", "code", "count"), [("no_method", "", 0), ("two_methods", TWO, 2)])
def test_a_file_defines_one_method(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, code: str, count: int
) -> None:
    (tmp_path / f"{file}.py").write_text(code)
    monkeypatch.setattr(methods, "__path__", [str(tmp_path)])
    with pytest.raises(ImportError, match=f"{file}.py: {count} methods defined, but one"):
        methods._defined_in(file)


def test_a_block_without_a_file_and_a_file_without_a_block_are_named(
    raw_parameters: dict[str, Any],
) -> None:
    softmax = raw_parameters.pop("softmax")
    for empty in ({}, {"softmax": None}):
        with pytest.raises(InputError, match=r"softmax: missing; methods/softmax.py needs its"):
            validated(raw_parameters | empty)
    with pytest.raises(InputError, match=r"fourier: .* needs its file methods/fourier.py"):
        validated(raw_parameters | {"softmax": softmax, "fourier": {"normalise_embeddings": False}})
