import math

import pytest
import torch
from torch.nn.functional import cosine_similarity

from batch import objective, pairs, points
from devices import DEVICES, DTYPES
from guided_dml.parameters import Parameters


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_loss_is_that_of_the_cosines(
    parameters: Parameters, device: str, dtype: torch.dtype
) -> None:
    embeddings, labels = points(device, dtype)
    alpha, beta, base, total = 2.0, 5.0, 0.5, 0.0
    for anchor in range(len(labels)):
        near = far = 0.0
        for i, j, _, same in pairs(embeddings, labels):
            if i == anchor:
                cosine = cosine_similarity(embeddings[i], embeddings[j], dim=0).item()
                near += math.exp(-alpha * (cosine - base)) * same
                far += math.exp(beta * (cosine - base)) * (not same)
        total += math.log(1 + near) / alpha + math.log(1 + far) / beta
    settings = {"alpha": alpha, "beta": beta, "base": base}
    loss = objective("multi_similarity", parameters, **settings)(embeddings, labels)
    assert loss.item() == pytest.approx(total / len(labels), rel=1e-5)
