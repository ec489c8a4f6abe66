"""The last layer of every network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


class ExactLinear(nn.Linear):
    """A linear layer that computes in float32 under autocast as well.

    bfloat16 keeps three decimal digits: close embeddings would collapse onto a coarse grid.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Return ``features @ weight.T + bias``, not in reduced precision."""
        with torch.autocast(features.device.type, enabled=False):
            return linear(features.to(self.weight.dtype), self.weight, self.bias)
