import pytest
import torch

from batch import objective, points, triplets
from devices import DEVICES, DTYPES
from guided_dml.parameters import Parameters


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_loss_averages_over_violations(
    parameters: Parameters, device: str, dtype: torch.dtype
) -> None:
    embeddings, labels = points(device, dtype)
    costs: list[float] = []
    for near, far in triplets(embeddings, labels):
        costs += [max(0.0, near - 1.2 + 0.2), max(0.0, 1.2 - far + 0.2)]
    expected = sum(costs) / sum(cost > 0 for cost in costs)
    loss = objective("margin", parameters, margin=0.2, beta=1.2)(embeddings, labels)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
