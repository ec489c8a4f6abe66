from __future__ import annotations

from typing import get_args

import pytest
import torch

from guided_dml.blocks import Backbone
from guided_dml.errors import InputError
from guided_dml.models.backbones import build_embedder
from guided_dml.models.weights import load_weights, weights_of
from guided_dml.parameters import Parameters


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("stem", ["small", "own"])
@pytest.mark.parametrize("backbone", get_args(Backbone))
def test_backbones_embed_grey_and_colour(
    parameters: Parameters, backbone: str, stem: str, channels: int
) -> None:
    settings = {"backbone": backbone, "stem": stem, "embedding_dimension": 3}
    student = parameters.student.model_copy(update=settings)
    model = build_embedder(0, channels, student).eval()
    with torch.inference_mode():
        embeddings = model(torch.randn(2, channels, 32, 32))
    assert embeddings.shape == (2, 3)
    assert embeddings.isfinite().all()


@pytest.mark.parametrize("backbone", ["resnext50_32x4d", "wide_resnet50_2"])
def test_torchvisions_other_resnets_embed_as_well(parameters: Parameters, backbone: str) -> None:
    student = parameters.student.model_copy(update={"backbone": backbone})
    with torch.inference_mode():
        assert build_embedder(0, 3, student).eval()(torch.zeros(1, 3, 16, 16)).shape == (1, 2)


def test_small_stem_keeps_the_resolution(parameters: Parameters) -> None:
    own = parameters.student.model_copy(update={"stem": "own"})
    sides = []
    for student in (parameters.student, own):
        model = build_embedder(0, 1, student)
        model.get_submodule("layer1").register_forward_hook(
            lambda *args: sides.append(args[2].shape[-1])
        )
        model.eval()(torch.zeros(1, 1, 32, 32))
    assert sides == [32, 8]


def test_seed_decides_the_weights(parameters: Parameters) -> None:
    first, again, other = (
        build_embedder(seed, 1, parameters.student).state_dict()["conv1.weight"]
        for seed in (0, 0, 1)
    )
    assert first.equal(again)
    assert not first.equal(other)


def test_weights_survive_storing(parameters: Parameters) -> None:
    small = parameters.student.model_copy(update={"backbone": "small_cnn"})
    model, other = build_embedder(0, 1, small), build_embedder(1, 1, small)
    load_weights(other, weights_of(model), "student")
    for name, value in model.state_dict().items():
        assert other.state_dict()[name].equal(value)


def test_weights_of_another_architecture_are_refused(parameters: Parameters) -> None:
    small = parameters.student.model_copy(update={"backbone": "small_cnn"})
    weights = weights_of(build_embedder(0, 1, small))
    with pytest.raises(InputError, match=r"do not fit .* student\.\*"):
        load_weights(build_embedder(0, 1, parameters.student), weights, "student")
    with pytest.raises(InputError, match=r"do not fit .*size mismatch"):
        load_weights(build_embedder(0, 3, small), weights, "student")
