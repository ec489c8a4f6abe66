"""Where the numeric tests compute: on a GPU as well, where there is one."""

import pytest
import torch

from guided_dml.training.policy import Policy

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
DTYPES = [torch.float32, torch.float64]


@pytest.fixture(params=DEVICES)
def policy(request: pytest.FixtureRequest) -> Policy:
    """Each device in turn, in float32."""
    return Policy(torch.device(request.param))
