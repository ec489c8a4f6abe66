import pytest
import torch

from batch import mean_above_zero, objective, pairs, points
from devices import DEVICES, DTYPES
from guided_dml.parameters import Parameters


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_loss_is_contrastive_over_plain_distances(
    parameters: Parameters, device: str, dtype: torch.dtype
) -> None:
    embeddings, labels = points(device, dtype)
    found = list(pairs(embeddings, labels))
    together = mean_above_zero([d for *_, d, same in found if same])
    apart = mean_above_zero([3.0 - d for *_, d, same in found if not same])
    loss = objective("siamese", parameters, margin=3.0)(embeddings, labels)
    assert loss.item() == pytest.approx(together + apart, rel=1e-5)
