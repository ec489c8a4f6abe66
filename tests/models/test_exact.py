from __future__ import annotations

import torch

from guided_dml.models.exact import ExactLinear


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
