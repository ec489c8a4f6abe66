from __future__ import annotations

import pytest
import torch
from torch import nn

from guided_dml.models.layers import Convolution3x3, ExactLinear, PReLU


def test_the_last_layer_does_not_round_under_autocast() -> None:
    layer = ExactLinear(16, 2)
    features = torch.randn(4, 16).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        embeddings = layer(features)
        rounded = torch.nn.functional.linear(features, layer.weight, layer.bias)
    expected = features.double() @ layer.weight.double().T + layer.bias.double()
    assert embeddings.dtype is torch.float32
    torch.testing.assert_close(embeddings.double(), expected, rtol=1e-5, atol=1e-6)
    assert (rounded.double() - expected).abs().max() > 1e-4


@pytest.mark.parametrize("side", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_convolution_and_its_gradients_are_pytorchs(side: int, stride: int) -> None:
    torch.manual_seed(0)
    ours = Convolution3x3(5, 7, stride).double().to(memory_format=torch.channels_last)
    theirs = nn.Conv2d(5, 7, 3, stride=stride, padding=1, bias=False).double()
    theirs.load_state_dict(ours.state_dict())
    gradients = []
    for layer in (ours, theirs):
        images = torch.linspace(-1, 1, 4 * 5 * side * side, dtype=torch.float64)
        images = images.view(4, 5, side, side).requires_grad_()
        outputs = layer(images)
        outputs.sin().sum().backward()
        gradients.append([outputs, images.grad, layer.weight.grad])
    torch.testing.assert_close(gradients[0], gradients[1], check_stride=False)


@pytest.mark.parametrize("slope", [0.25, 0.0, -0.5])
def test_prelu_and_its_gradients_are_pytorchs(slope: float) -> None:
    gradients = []
    for layer in (PReLU(init=slope).double(), nn.PReLU(init=slope).double()):
        inputs = torch.linspace(-2, 2, 41, dtype=torch.float64).requires_grad_()
        layer(inputs).sin().sum().backward()
        gradients.append([inputs.grad, layer.weight.grad])
    torch.testing.assert_close(*gradients)
