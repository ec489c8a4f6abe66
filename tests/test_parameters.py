from __future__ import annotations

from typing import Any

import pytest

from guided_dml.errors import InputError
from guided_dml.parameters import validated


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("studnet.epochs", 1, ["studnet", "no such parameter", "did you mean student?", "gemini"]),
        ("student.epoch", 1, ["student.epoch", "did you mean student.epochs?"]),
        ("student.epochs", 0, ["student.epochs", "0", "greater than or equal to 1"]),
        ("student.epochs", 10**30, ["student.epochs", "less than or equal to 2147483647"]),
        ("student.learning_rate", 1e300, ["student.learning_rate", "must be at most 1e+30"]),
        ("student.embedding_dimension", 10**6, ["dimension", "less than or equal to 16384"]),
        ("audit.folds", 10**30, ["audit.folds", "less than or equal to 2147483647"]),
        ("audit.folds", 1, ["audit.folds: 1 given; must be greater than or equal to 2"]),
        ("audit.neighbours", 1, ["audit.neighbours: 1 given", "greater than or equal to 2"]),
        ("audit.majority", 0.0, ["audit.majority: 0.0 given; must be greater than 0"]),
        ("audit.near", 1.0, ["audit.near: 1.0 given; must be less than 1"]),
        ("student.epochs", "ten", ["student.epochs", "'ten'", "valid integer"]),
        ("student.epochs", 1.5, ["student.epochs", "1.5", "valid integer"]),
        ("student.epochs", True, ["student.epochs", "True", "valid integer"]),
        ("student.backbone", "resnet19", ["'resnet19'", "resnet18", "cnn", "timm/NAME"]),
        ("student.backbone", "airbensh", ["must be airbench, ", " or timm/NAME"]),
        ("student.backbone", "timm/resnet81", ["student.backbone", "timm/resnet18"]),
        ("student.backbone", "timm/NAME", ["must be a model of timm"]),
        ("student.backbone", "timm/", ["must be a model of timm"]),
        ("student.backbone", "", ["student.backbone: '' given; must be ", "small_cnn"]),
        (
            "student.pretrained",
            "x.safetensors",
            ["student.pretrained", "null unless student.backbone is timm/NAME"],
        ),
        ("student.pretrained", "weights.pth", ["student.pretrained", "a .safetensors file"]),
        ("student.nesterov", True, ["student.nesterov", "must be false where momentum is 0"]),
        ("student.average", 1.0, ["student.average", "less than 1"]),
        ("student.target_scale", 1e-30, ["target_scale", "greater than or equal to 0.001"]),
        ("student.target_scale", 1e30, ["target_scale", "less than or equal to 10000"]),
        ("student.flip", "sideways", ["student.flip", "'none', 'random' or 'alternating'"]),
        ("student.shift", -1, ["student.shift", "greater than or equal to 0"]),
        ("student.similarity", "l1", ["student.similarity", "'l2', 'cosine' or 'gaussian'"]),
        ("student.learning_rate", -0.1, ["student.learning_rate", "-0.1", "greater than 0"]),
        ("gemini.muon_learning_rate", 0.1, ["gemini.muon_learning_rate", "0.1", "must be null"]),
        ("gemini.padding", 5, ["gemini.padding: 5 given", "must be below gemini.kernel_size"]),
        ("triplets.batch_size", 2_000_000_000, ["triplets.batch_size", "16384"]),
        ("multi_similarity.base", 1e300, ["multi_similarity.base", "at most 1e+30"]),
        ("gemini.beta", 1.01, ["gemini.beta", "1.01", "less than or equal to 1"]),
        ("data.validation_share", 1.0, ["data.validation_share", "less than 1"]),
        ("data.images_per_class", 1, ["data.images_per_class", "greater than or equal to 2"]),
        ("data.classes", ["cat"], ["data.classes", "two names or more, each once, or null"]),
        ("data.classes", ["é", "e\u0301"], ["data.classes", "each once"]),
        ("data.classes", ["cat", "cat"], ["data.classes", "each once"]),
        ("data.classes", [0, 1], ["data.classes", 'in quotes: ["0", "1"]']),
        ("data.classes", "cat", ["data.classes", "'cat'", "valid list"]),
        ("data.imbalance_factor", 1, ["data.imbalance_factor", "greater than 1"]),
        ("robustness.queries", 0, ["robustness.queries", "greater than or equal to 1"]),
        ("robustness.domain", "letters", ["robustness.domain", "'digits'"]),
        ("evaluation.split", "train", ["evaluation.split", "'test' or 'validation'"]),
        ("compute.device", "tpu", ["compute.device", "'auto', 'cpu' or 'cuda'"]),
        ("seed", -1, ["seed", "-1", "greater than or equal to 0"]),
    ],
)
def test_a_wrong_parameter_is_named_with_what_is_allowed(
    raw_parameters: dict[str, Any], path: str, value: object, words: list[str]
) -> None:
    *parents, last = path.split(".")
    block = raw_parameters
    for name in parents:
        block = block.setdefault(name, {})
    block[last] = value
    if last == "nesterov":
        block["momentum"] = 0.0
    if value == "weights.pth":
        block["backbone"] = "timm/resnet10t"
    with pytest.raises(InputError) as error:
        validated(raw_parameters)
    for word in words:
        assert word in str(error.value)


def test_all_wrong_parameters_are_named_at_once(raw_parameters: dict[str, Any]) -> None:
    raw_parameters["student"]["epochs"] = 0
    raw_parameters["gemini"]["margin"] = -1
    del raw_parameters["data"]
    with pytest.raises(InputError, match=r"data: missing(.|\n)*gemini.margin(.|\n)*student.epochs"):
        validated(raw_parameters)


def test_whole_numbers_are_good_for_fractions(raw_parameters: dict[str, Any]) -> None:
    raw_parameters["gemini"]["margin"] = 3
    assert validated(raw_parameters).gemini.margin == 3.0
