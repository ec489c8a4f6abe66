"""The student's networks, which every method trains to embed unseen images."""

from __future__ import annotations

from typing import Any

from torch import nn

from guided_dml.blocks import StudentParameters
from guided_dml.models.layers import Convolution3x3, ExactLinear, UnitLength
from guided_dml.seeding import initial_weights


def build_embedder(
    seed: int, channels: int, student: StudentParameters, *, unit_length: bool = False
) -> nn.Module:
    """Return a network from images, float ``[N, channels, H, W]``, to float ``[N, D]``.

    Args:
        seed: Of the initial weights.
        channels: 1 for grey images, 3 for colour.
        student: ``backbone``: torchvision's ResNet of that name with a linear layer to D in place
            of the classifier, or ``small_cnn``, four convolutions for work on a CPU. ``stem``:
            ``small`` replaces a ResNet's first convolution by 3x3 with stride 1 and drops its
            first max-pool, so that small images keep their resolution; ``own`` leaves both.
        unit_length: Whether embeddings are scaled to length one.
    """
    with initial_weights(seed, "student"):
        network: nn.Module = (
            _small_cnn(channels, student.embedding_dimension)
            if student.backbone == "small_cnn"
            else _resnet(channels, student)
        )
    return nn.Sequential(network, UnitLength()) if unit_length else network


def _resnet(channels: int, student: StudentParameters) -> Any:
    # (torchvision takes seconds to import, so only a ResNet pays for it)
    from torchvision.models import get_model

    network: Any = get_model(student.backbone, weights=None)
    network.fc = ExactLinear(network.fc.in_features, student.embedding_dimension)
    if student.stem == "small":
        network.conv1 = Convolution3x3(channels, 64)
        network.maxpool = nn.Identity()
    elif channels != 3:
        network.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
    Convolution3x3.take_over(network)
    # (torchvision's own initialisation, for the convolution that was replaced)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    return network


def _small_cnn(channels: int, embedding_dimension: int) -> nn.Module:
    def block(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
        return [Convolution3x3(inputs, outputs, stride), nn.BatchNorm2d(outputs), nn.ReLU()]

    return nn.Sequential(
        *block(channels, 32, 1),
        *block(32, 64, 2),
        *block(64, 128, 1),
        *block(128, 256, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        ExactLinear(256, embedding_dimension),
    )
