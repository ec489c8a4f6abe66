"""Layers with the weights and the values of PyTorch's own, where those are inexact or slow.

What each gains on a CPU is measured in docs/benchmarks.md.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, linear, max_pool2d, normalize, pad

#: Up to so many output pixels a side, oneDNN's gradient of a 3x3 convolution's weights is slow:
#: at 512 channels and one pixel 28 ms for a batch of 64, where the matrix product needs 3.
SMALL_MAP = 2


class ExactLinear(nn.Linear):
    """The last layer of every network: it computes in float32 under autocast as well.

    bfloat16 keeps three decimal digits: close embeddings would collapse onto a coarse grid.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Return ``features @ weight.T + bias``, not in reduced precision."""
        with torch.autocast(features.device.type, enabled=False):
            return linear(features.to(self.weight.dtype), self.weight, self.bias)


class UnitLength(nn.Module):
    """Scales every embedding to length one."""

    def forward(self, embeddings: Tensor) -> Tensor:
        """Scale the rows of float ``[N, D]``."""
        return normalize(embeddings, dim=1)


class FlipAverage(nn.Module):
    """Embeds an image as the mean of itself and its mirror image."""

    def __init__(self, network: nn.Module, *, unit_length: bool, both: bool = False) -> None:
        """Wrap a network of images.

        Args:
            network: From float ``[N, C, H, W]`` to float ``[N, D]``.
            unit_length: Scale the means to length one again.
            both: Return the images' own embeddings as well, behind the means: ``[N, 2 * D]``.
        """
        super().__init__()
        self.network, self.both = network, both
        self.last = UnitLength() if unit_length else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Embed float ``[N, C, H, W]``."""
        own = self.network(images)
        mean: Tensor = self.last((own + self.network(images.flip(3))) / 2)
        return torch.cat([mean, own], dim=1) if self.both else mean


class Convolution3x3(nn.Conv2d):
    """A 3x3 convolution with padding 1; on a CPU small maps go through a matrix product."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        """Build the layer, without a bias: a batch-norm follows."""
        super().__init__(inputs, outputs, 3, stride=stride, padding=1, bias=False)

    @classmethod
    def take_over(cls, network: nn.Module) -> None:
        """Let every layer of ``network`` that computes the same compute like this one."""
        for layer in network.modules():
            if (
                type(layer) is nn.Conv2d
                and layer.kernel_size == (3, 3)
                and layer.padding == layer.dilation == (1, 1)
                and layer.padding_mode == "zeros"
                and layer.stride[0] == layer.stride[1]
                and layer.groups == 1
                and layer.bias is None
            ):
                layer.__class__ = cls  # (the same weights; only forward differs)

    def forward(self, images: Tensor) -> Tensor:
        """Convolve float ``[N, C, H, W]``."""
        stride = self.stride[0]
        rows, columns = ((length - 1) // stride + 1 for length in images.shape[2:])
        if images.device.type != "cpu" or max(rows, columns) > SMALL_MAP:
            return super().forward(images)
        if images.shape[2:] == (1, 1):  # (all but the kernel's centre see padding)
            return linear(images.flatten(1), self.weight[:, :, 1, 1])[:, :, None, None]
        padded = pad(images.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
        windows = padded.unfold(1, 3, stride).unfold(2, 3, stride).permute(0, 1, 2, 4, 5, 3)
        kernels = self.weight.permute(0, 2, 3, 1).flatten(1)
        return linear(windows.flatten(3), kernels).permute(0, 3, 1, 2)


class PReLU(nn.PReLU):
    """``max(0, x) + a min(0, x)`` with one learned a; five times faster backwards on a CPU."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply it to each value."""
        if inputs.device.type != "cpu":
            return super().forward(inputs)
        outputs: Tensor = _PReLU.apply(inputs, self.weight)
        return outputs


class PReLUMaxPool(PReLU):
    """PReLU, then a max-pool of 2x2; on a CPU in the other order where that is the same.

    With a slope above 0 PReLU keeps the order of values: pooled before, it has a fourth of them.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply both to float ``[N, C, H, W]``."""
        if inputs.device.type == "cpu" and self.weight.item() > 0:
            return super().forward(max_pool2d(inputs, 2))
        return max_pool2d(super().forward(inputs), 2)


class _PReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(inputs, slope)
        return leaky_relu(inputs, slope.item())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        inputs, slope = ctx.saved_tensors
        (gradient,) = gradients
        of_inputs = torch.ops.aten.leaky_relu_backward(gradient, inputs, slope.item(), False)
        return of_inputs, (gradient * inputs.clamp(max=0)).sum().to(slope.dtype).view(1)
