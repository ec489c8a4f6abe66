import pytest
import torch
from torch import nn

from batch import objective, points
from devices import DEVICES
from guided_dml.parameters import Parameters


@pytest.mark.parametrize("device", DEVICES)
def test_loss_is_the_cross_entropy_of_a_linear_layer(parameters: Parameters, device: str) -> None:
    embeddings, labels = points(device)
    loss = objective("softmax", parameters)
    assert isinstance(loss, nn.Module)
    weight, bias = loss.to(device).parameters()
    logits = embeddings @ weight.T + bias
    expected = -logits.log_softmax(1)[torch.arange(len(labels)), labels].mean()
    torch.testing.assert_close(loss(embeddings, labels), expected)
