"""The student's networks, which every method trains to embed unseen images."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import nn

from guided_dml.blocks import StudentParameters
from guided_dml.errors import InputError, last_line
from guided_dml.inference.card import Card
from guided_dml.models.airbench import Airbench
from guided_dml.models.layers import Convolution3x3, ExactLinear, UnitLength
from guided_dml.models.weights import hash_of_weights, load_weights
from guided_dml.seeding import initial_weights
from guided_dml.types import Tensors

#: How the names of what a network has learnt end; files have buffers beside them.
WEIGHTS = (".weight", ".bias")


def build_embedder(
    seed: int, image_shape: Sequence[int], student: StudentParameters, *, unit_length: bool = False
) -> nn.Module:
    """Return a network from images, float ``[N, C, H, W]``, to float ``[N, D]``.

    Args:
        seed: Of the initial weights.
        image_shape: C (1 for grey images, 3 for colour), H and W.
        student: ``backbone``: torchvision's ResNet of that name with a linear layer to D in place
            of the classifier; ``small_cnn``, four convolutions for work on a CPU; ``airbench``,
            for small images; ``timm/NAME``, timm's model of that name. ``stem``: ``small``
            replaces a ResNet's first convolution by 3x3 with stride 1 and drops its first
            max-pool, so that small images keep their resolution; ``own`` leaves both.
            ``pretrained``: the weights that a model of timm starts from.
        unit_length: Whether embeddings are scaled to length one.

    Raises:
        InputError: The images are too small for the backbone, or the pretrained weights are not
            its own.
    """
    dimension = student.embedding_dimension
    with initial_weights(seed, "student"):
        if student.backbone.startswith("timm/"):
            network: nn.Module = _timm(image_shape, student)
        elif student.backbone == "airbench":
            network = Airbench(image_shape, dimension)
        elif student.backbone == "small_cnn":
            network = _small_cnn(image_shape[0], dimension)
        else:
            network = _resnet(image_shape[0], student)
    return nn.Sequential(network, UnitLength()) if unit_length else network


def embedder_of(card: Card, weights: Tensors) -> nn.Module:
    """Return the network that a card describes, with its weights.

    Raises:
        InputError: The weights are of another network.
    """
    if hash_of_weights(weights) != card.weights:
        raise InputError(
            f"the weights are not those of the card of {card.method}, seed {card.seed}; bring back "
            "what belongs together with --load-versions, or train anew"
        )
    student = StudentParameters.model_construct(**card.student | {"pretrained": None})
    model = build_embedder(0, card.image_shape, student, unit_length=card.unit_length)
    load_weights(model, weights, "student")
    return model


def split_head(network: nn.Module) -> tuple[nn.Module, ExactLinear]:
    """Return a copy of an embedder that ends before its last layer, and that layer.

    The copy maps images to features, float ``[N, F]``: what the last layer projects to ``[N, D]``.
    """
    body = network
    if isinstance(network, nn.Sequential) and isinstance(network[-1], UnitLength):
        body = network[0]
    name, head = [named for named in body.named_modules() if isinstance(named[1], ExactLinear)][-1]
    trunk = deepcopy(body)
    trunk.set_submodule(name, nn.Identity())
    return trunk, head


def _timm(image_shape: Sequence[int], student: StudentParameters) -> nn.Module:
    _, height, width = image_shape
    try:
        network = _timm_model(image_shape, student)
        with torch.no_grad():
            features = network.eval()(torch.zeros(1, *image_shape)).shape[1]
    except InputError:
        raise
    except Exception as error:  # (many people's models, which refuse in as many ways)
        reason = last_line(error)
        if student.pretrained and "size mismatch" in str(error):
            raise InputError(
                f"student.pretrained: {student.pretrained} is not of {student.backbone}: {reason}"
            ) from error
        given = f" with the weights of {student.pretrained}" if student.pretrained else ""
        raise InputError(
            f"student.backbone={student.backbone} cannot be built for images of "
            f"{height}x{width} pixels{given}: {reason}"
        ) from error
    return nn.Sequential(network.train(), ExactLinear(features, student.embedding_dimension))


def _timm_model(image_shape: Sequence[int], student: StudentParameters) -> Any:
    """Return timm's model without its classifier; pretrained weights are all there."""
    import timm
    from safetensors import safe_open

    name, file = student.backbone.removeprefix("timm/"), student.pretrained
    options: dict[str, Any] = {"in_chans": image_shape[0], "num_classes": 0}
    if file:
        student.check_pretrained()
        with safe_open(file, "pt") as weights:
            given = set(weights.keys())
        logging.getLogger("timm.models").setLevel(logging.ERROR)  # (it lists what is told below)
        options |= {
            "pretrained": True,
            "pretrained_cfg_overlay": {"file": file, "custom_load": False},
        }
    try:  # (transformers want it, convolutions refuse it)
        network = timm.create_model(name, img_size=tuple(image_shape[1:]), **options)
    except TypeError:
        network = timm.create_model(name, **options)
    if file:
        _check_pretrained(network, student, given)
    return network


def _check_pretrained(network: Any, student: StudentParameters, given: set[str]) -> None:
    """Refuse what timm passes over: names that a file lacks, or has beside the model's."""
    state, heads = network.state_dict(), network.default_cfg.get("classifier") or ()
    floats = {key: value for key, value in state.items() if value.is_floating_point()}
    heads = (heads,) if isinstance(heads, str) else heads
    own = tuple(f"{head.partition('.')[0]}." for head in heads)
    others = {key for key in given - state.keys() if key.endswith(WEIGHTS)}
    for names, why in (
        (floats.keys() - given, "of whose weights it lacks"),
        ({key for key in others if not key.startswith(own)}, "which lacks of its"),
    ):
        if names:
            some = ", ".join(sorted(names)[:3]) + " ..." * (len(names) > 3)
            raise InputError(
                f"student.pretrained: {student.pretrained} is not of {student.backbone}, "
                f"{why} {len(names)}: {some}"
            )
    if broken := [key for key, value in floats.items() if not value.isfinite().all()]:
        raise InputError(f"student.pretrained: {student.pretrained}: its {broken[0]} is not finite")


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
