from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from devices import DEVICES
from guided_dml.models.layers import Convolution3x3, ExactLinear, PReLU, PReLUMaxPool


@pytest.mark.parametrize("device", DEVICES)
def test_the_last_layer_does_not_round_under_autocast(device: str) -> None:
    layer = ExactLinear(16, 2).to(device)
    features = torch.randn(4, 16, device=device).bfloat16()
    with torch.autocast(device, dtype=torch.bfloat16):
        embeddings = layer(features)
        rounded = torch.nn.functional.linear(features, layer.weight, layer.bias)
    expected = features.double() @ layer.weight.double().T + layer.bias.double()
    assert embeddings.dtype is torch.float32
    torch.testing.assert_close(embeddings.double(), expected, rtol=1e-5, atol=1e-6)
    assert (rounded.double() - expected).abs().max() > 1e-4


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("side", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_convolution_and_its_gradients_are_pytorchs(side: int, stride: int, device: str) -> None:
    torch.manual_seed(0)
    ours = Convolution3x3(5, 7, stride).double().to(memory_format=torch.channels_last)
    theirs = nn.Conv2d(5, 7, 3, stride=stride, padding=1, bias=False).double()
    theirs.load_state_dict(ours.state_dict())
    gradients = []
    for layer in (ours.to(device), theirs.to(device)):
        images = torch.linspace(-1, 1, 4 * 5 * side * side, dtype=torch.float64, device=device)
        images = images.view(4, 5, side, side).requires_grad_()
        outputs = layer(images)
        outputs.sin().sum().backward()
        gradients.append([outputs, images.grad, layer.weight.grad])
    torch.testing.assert_close(gradients[0], gradients[1], check_stride=False)


@pytest.mark.parametrize(
    ("settings", "ours"),
    [
        ({}, True),
        ({"stride": 2}, True),
        ({"stride": (1, 2)}, False),
        ({"groups": 2}, False),
        ({"groups": 4}, False),
        ({"dilation": 2}, False),
        ({"dilation": 2, "padding": 2}, False),
        ({"padding": 0}, False),
        ({"padding": 2}, False),
        ({"padding": "same"}, False),
        ({"padding_mode": "circular"}, False),
        ({"kernel_size": 5, "padding": 2}, False),
        ({"bias": True}, False),
    ],
)
def test_a_layer_is_taken_over_only_where_it_computes_the_same(
    settings: dict[str, Any], ours: bool
) -> None:
    layer = nn.Conv2d(4, 8, **{"kernel_size": 3, "padding": 1, "bias": False, **settings})
    images = torch.randn(3, 4, 5, 3)
    before = layer(images)
    Convolution3x3.take_over(nn.Sequential(layer))
    assert isinstance(layer, Convolution3x3) == ours
    torch.testing.assert_close(layer(images), before)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("slope", [0.25, 0.0, -0.5])
def test_prelu_and_its_gradients_are_pytorchs(slope: float, device: str) -> None:
    gradients = []
    for layer in (PReLU(init=slope).double(), nn.PReLU(init=slope).double()):
        layer.to(device)
        inputs = torch.linspace(-2, 2, 41, dtype=torch.float64, device=device).requires_grad_()
        layer(inputs).sin().sum().backward()
        gradients.append([inputs.grad, layer.weight.grad])
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("slope", [-0.5, 0.0, 0.25, 2.0])
def test_prelu_and_a_max_pool_are_pytorchs_in_their_order(slope: float, device: str) -> None:
    source, found = torch.Generator().manual_seed(0), []
    images = torch.randn(3, 2, 5, 6, generator=source, dtype=torch.float64).to(device)
    plain = nn.Sequential(nn.PReLU(init=slope), nn.MaxPool2d(2))
    for layer in (PReLUMaxPool(init=slope), plain):
        layer.double().to(device)
        inputs = images.clone().requires_grad_()
        outputs = layer(inputs)
        outputs.sin().sum().backward()
        (weight,) = layer.parameters()
        found.append([outputs, inputs.grad, weight.grad])
    assert found[0][0].equal(found[1][0])
    torch.testing.assert_close(*found)
