import pytest
import torch

from batch import objective, points
from devices import DEVICES, DTYPES
from guided_dml.parameters import Parameters


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_loss_is_the_mean_distance_to_the_teachers_embeddings(
    parameters: Parameters, device: str, dtype: torch.dtype
) -> None:
    embeddings, _ = points(device, dtype)
    teacher = embeddings.flip(0)
    loss = objective("guided", parameters)(embeddings, teacher)
    torch.testing.assert_close(loss, (embeddings - teacher).norm(dim=1).mean())
