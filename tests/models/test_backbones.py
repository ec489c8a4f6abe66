from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from guided_dml.blocks import BACKBONES, StudentParameters
from guided_dml.errors import InputError
from guided_dml.models.airbench import WHITENING_EPSILON
from guided_dml.models.backbones import build_embedder, split_head
from guided_dml.models.weights import load_weights, weights_of
from guided_dml.parameters import Parameters


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("stem", ["small", "own"])
@pytest.mark.parametrize("backbone", [*BACKBONES, "timm/resnet10t", "timm/vit_tiny_patch16_224"])
def test_backbones_embed_grey_and_colour(
    parameters: Parameters, backbone: str, stem: str, channels: int
) -> None:
    settings = {"backbone": backbone, "stem": stem, "embedding_dimension": 3}
    student = parameters.student.model_copy(update=settings)
    model = build_embedder(0, (channels, 32, 32), student).eval()
    with torch.inference_mode():
        embeddings = model(torch.randn(2, channels, 32, 32))
    assert embeddings.shape == (2, 3)
    assert embeddings.isfinite().all()


@pytest.mark.parametrize("unit_length", [False, True])
@pytest.mark.parametrize("backbone", ["resnet18", "small_cnn", "airbench", "timm/resnet10t"])
def test_features_through_the_head_are_the_embeddings(
    parameters: Parameters, backbone: str, unit_length: bool
) -> None:
    student = parameters.student.model_copy(update={"backbone": backbone})
    model = build_embedder(0, (1, 16, 16), student, unit_length=unit_length).eval()
    trunk, head = split_head(model)
    with torch.inference_mode():
        images = torch.randn(3, 1, 16, 16)
        features = trunk(images)
        embeddings = head(features)
        assert features.shape == (3, head.in_features)
        expected = model(images)
    if unit_length:
        embeddings = embeddings / embeddings.norm(dim=1, keepdim=True)
    torch.testing.assert_close(embeddings, expected)


@pytest.mark.parametrize("backbone", ["resnext50_32x4d", "wide_resnet50_2"])
def test_torchvisions_other_resnets_embed_as_well(parameters: Parameters, backbone: str) -> None:
    student = parameters.student.model_copy(update={"backbone": backbone})
    model = build_embedder(0, (3, 16, 16), student).eval()
    with torch.inference_mode():
        assert model(torch.zeros(1, 3, 16, 16)).shape == (1, 2)


def test_small_stem_keeps_the_resolution(parameters: Parameters) -> None:
    own = parameters.student.model_copy(update={"stem": "own"})
    sides = []
    for student in (parameters.student, own):
        model = build_embedder(0, (1, 8, 8), student)
        model.get_submodule("layer1").register_forward_hook(
            lambda *args: sides.append(args[2].shape[-1])
        )
        model.eval()(torch.zeros(1, 1, 32, 32))
    assert sides == [32, 8]


def test_seed_decides_the_weights(parameters: Parameters) -> None:
    first, again, other = (
        build_embedder(seed, (1, 8, 8), parameters.student).state_dict()["conv1.weight"]
        for seed in (0, 0, 1)
    )
    assert first.equal(again)
    assert not first.equal(other)


def test_weights_survive_storing(parameters: Parameters) -> None:
    small = parameters.student.model_copy(update={"backbone": "small_cnn"})
    model, other = build_embedder(0, (1, 8, 8), small), build_embedder(1, (1, 8, 8), small)
    load_weights(other, weights_of(model), "student")
    for name, value in model.state_dict().items():
        assert other.state_dict()[name].equal(value)


def test_weights_of_another_architecture_are_refused(parameters: Parameters) -> None:
    small = parameters.student.model_copy(update={"backbone": "small_cnn"})
    weights = weights_of(build_embedder(0, (1, 8, 8), small))
    with pytest.raises(InputError, match=r"do not fit .* student\.\*"):
        load_weights(build_embedder(0, (1, 8, 8), parameters.student), weights, "student")
    with pytest.raises(InputError, match=r"do not fit .*size mismatch"):
        load_weights(build_embedder(0, (3, 16, 16), small), weights, "student")


def student_of(parameters: Parameters, **settings: Any) -> StudentParameters:
    return parameters.student.model_copy(update=settings)


def test_images_that_the_poolings_leave_nothing_of_are_refused(parameters: Parameters) -> None:
    student = student_of(parameters, backbone="airbench")
    assert build_embedder(0, (1, 16, 20), student)(torch.zeros(2, 1, 16, 20)).shape == (2, 2)
    with pytest.raises(InputError, match=r"images of 20x15 pixels .* needs 16 a side"):
        build_embedder(0, (1, 20, 15), student)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_first_layer_whitens_patches(parameters: Parameters, channels: int) -> None:
    network: Any = build_embedder(
        0, (channels, 16, 16), student_of(parameters, backbone="airbench")
    )
    noise = torch.randn(400, channels, 16, 16)
    images = nn.functional.avg_pool2d(noise, 3, stride=1, padding=1) * 3 + 0.1 * noise
    network.fit_whitening(images)
    axes = network.whitening(images)[:, : 4 * channels]
    axes = axes.transpose(0, 1).flatten(1).double()
    second_moments = axes @ axes.T / axes.shape[1]
    assert second_moments.allclose(torch.eye(len(axes)).double(), atol=0.05)
    assert not network.whitening.weight.requires_grad


def test_whitening_survives_a_constant_channel(parameters: Parameters) -> None:
    network: Any = build_embedder(0, (3, 16, 16), student_of(parameters, backbone="airbench"))
    images = torch.randn(100, 3, 16, 16)
    images[:, 1] = 0.0
    network.fit_whitening(images)
    # (four directions hold nothing; none is enlarged beyond what the epsilon allows)
    lengths = network.whitening.weight.flatten(1).norm(dim=1)
    torch.testing.assert_close(
        lengths.sort().values[-8:], torch.full((8,), WHITENING_EPSILON**-0.5)
    )
    assert lengths.sort().values[:-8].max() < 1.1


def test_pretrained_weights_are_the_start(parameters: Parameters, tmp_path: Path) -> None:
    import timm

    there = timm.create_model("resnet10t", num_classes=7)
    file = tmp_path / "weights.safetensors"
    save_file(there.state_dict(), file)
    student = student_of(parameters, backbone="timm/resnet10t", pretrained=str(file))
    network = build_embedder(0, (3, 32, 32), student).state_dict()
    given = {name: value for name, value in there.state_dict().items() if "fc." not in name}
    assert all(network[f"0.{name}"].equal(value) for name, value in given.items())
    grey = build_embedder(0, (1, 32, 32), student)
    assert grey.eval()(torch.zeros(2, 1, 32, 32)).shape == (2, 2)
    for name, reason in (
        ("resnet18", "is not of timm/resnet18: size mismatch"),
        ("resnet10t", "there is no file"),
    ):
        wrong = student.model_copy(
            update={
                "backbone": f"timm/{name}",
                "pretrained": str(file) + "x" * (name != "resnet18"),
            }
        )
        with pytest.raises(InputError, match=reason):
            build_embedder(0, (3, 32, 32), wrong)
    less = {name: value for name, value in given.items() if name != "layer1.0.conv1.weight"}
    for other, lacks in (
        ({"unknown": torch.zeros(2)}, r"70: bn1\.bias, .* \.\.\."),
        (less, r"1: layer1\.0\.conv1\.weight"),
    ):
        save_file(other, file)  # (of neither does timm itself complain)
        with pytest.raises(InputError, match=f"is not of timm/resnet10t, .* lacks {lacks}$"):
            build_embedder(0, (3, 32, 32), student)
    save_file(given | {"bn1.weight": torch.ones(3)}, file)
    with pytest.raises(
        InputError, match=r"is not of timm/resnet10t: size mismatch for bn1\.weight"
    ):
        build_embedder(0, (3, 32, 32), student)
    save_file(timm.create_model("resnet18").state_dict() | there.state_dict(), file)
    with pytest.raises(InputError, match=r"of its 31: conv1\.weight, layer1\.1\.bn1\.bias, "):
        build_embedder(0, (3, 32, 32), student)
    broken = {
        name: value * (math.nan if name == "bn1.weight" else 1) for name, value in less.items()
    }
    save_file(there.state_dict() | broken, file)
    with pytest.raises(
        InputError, match=r"pretrained: .*\.safetensors: its bn1\.weight is not finite"
    ):
        build_embedder(0, (3, 32, 32), student)
    for damaged in (file.read_bytes()[:-1], b"nothing of the kind"):
        file.write_bytes(damaged)
        with pytest.raises(
            InputError, match=r"pretrained: .*\.safetensors cannot be read as weights"
        ):
            build_embedder(0, (3, 32, 32), student)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "mixer_s32_224"])
def test_images_that_a_model_of_timm_cannot_read_are_refused(
    parameters: Parameters, name: str
) -> None:
    student = student_of(parameters, backbone=f"timm/{name}")
    with pytest.raises(InputError, match=rf"timm/{name} cannot be built for images of 8x8 pixels"):
        build_embedder(0, (3, 8, 8), student)
