import pytest
import torch

from batch import mean_above_zero, objective, points, triplets
from devices import DEVICES, DTYPES
from guided_dml.parameters import Parameters


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_loss_is_the_mean_violation_of_plain_distances(
    parameters: Parameters, device: str, dtype: torch.dtype
) -> None:
    embeddings, labels = points(device, dtype)
    found = triplets(embeddings, labels)
    expected = mean_above_zero([near - far + 0.5 for near, far in found])
    loss = objective("triplet", parameters, margin=0.5)(embeddings, labels)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
