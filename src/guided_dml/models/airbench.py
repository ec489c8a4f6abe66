"""A network for small images, after cifar10-airbench (Jordan 2024, arXiv 2404.00498)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, max_pool2d, unfold

from guided_dml.errors import InputError
from guided_dml.models.layers import Convolution3x3, ExactLinear

#: Pixels a side below which the three poolings leave nothing.
SMALLEST = 16

WIDTHS = (64, 256, 256)

#: Added to the variances of patches, so that what is constant in them is not blown up.
WHITENING_EPSILON = 5e-4


class Airbench(nn.Module):
    """2x2 patches are whitened by a layer that is fitted, not trained; three blocks follow."""

    def __init__(self, image_shape: Sequence[int], embedding_dimension: int) -> None:
        """Build the network; :meth:`fit_whitening` comes before its training.

        Args:
            image_shape: Channels, height and width of the images.
            embedding_dimension: D.

        Raises:
            InputError: The images are too small.
        """
        super().__init__()
        channels, height, width = image_shape
        if min(height, width) < SMALLEST:
            raise InputError(
                f"images of {height}x{width} pixels are too small for student.backbone=airbench, "
                f"which needs {SMALLEST} a side; use resnet18 or small_cnn"
            )
        patch = 4 * channels
        self.whitening = nn.Conv2d(channels, 2 * patch, 2)
        self.whitening.weight.requires_grad_(False)
        self.whitening.bias = nn.Parameter(torch.zeros(2 * patch))
        self.blocks = nn.Sequential(
            *(_Block(*sizes) for sizes in zip((2 * patch, *WIDTHS), WIDTHS, strict=False))
        )
        self.head = ExactLinear(WIDTHS[-1], embedding_dimension)

    @torch.no_grad()
    def fit_whitening(self, images: Tensor) -> None:
        """Set the first layer to the principal axes of 2x2 patches, scaled to variance one.

        Each axis comes with both signs, as GELU keeps one side only.

        Args:
            images: float ``[N, C, H, W]``, normalised: a sample of the training images, on the
                network's device.
        """
        patches = unfold(images.contiguous(), 2).transpose(1, 2).flatten(0, 1).double()
        covariance = patches.T @ patches / len(patches)
        variances, axes = torch.linalg.eigh(covariance)
        filters = (axes / (variances + WHITENING_EPSILON).sqrt()).T
        weight = self.whitening.weight
        weight.copy_(torch.cat([filters, -filters]).view_as(weight))

    def forward(self, images: Tensor) -> Tensor:
        """Embed float ``[N, C, H, W]`` as float ``[N, D]``."""
        features = self.blocks(gelu(self.whitening(images)))
        # (an adaptive max-pool has no deterministic gradient on a GPU)
        embeddings: Tensor = self.head(features.flatten(2).max(2).values)
        return embeddings


class _Block(nn.Module):
    """Convolution, pooling, norm, GELU; convolution, norm, GELU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first, self.second = Convolution3x3(inputs, outputs), Convolution3x3(outputs, outputs)
        self.first_norm, self.second_norm = _norm(outputs), _norm(outputs)
        for convolution in (self.first, self.second):
            # As many filters as there are inputs begin as the identity.
            nn.init.dirac_(convolution.weight[: convolution.in_channels].detach())

    def forward(self, features: Tensor) -> Tensor:
        features = gelu(self.first_norm(max_pool2d(self.first(features), 2)))
        return gelu(self.second_norm(self.second(features)))


def _norm(features: int) -> nn.BatchNorm2d:
    """Return a batch-norm that only shifts: the next layer scales."""
    norm = nn.BatchNorm2d(features, momentum=0.4)
    norm.weight.requires_grad_(False)
    return norm
