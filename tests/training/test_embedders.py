from __future__ import annotations

import pytest
import torch

from cards import card_of
from devices import DEVICES
from guided_dml.blocks import ComputeParameters
from guided_dml.errors import InputError
from guided_dml.models.backbones import build_embedder
from guided_dml.models.weights import weights_of
from guided_dml.parameters import Parameters
from guided_dml.training.embedders import embedder

NORMALISATION = {"mean": [127.0], "std": [74.0]}


@pytest.fixture(params=DEVICES)
def compute(request: pytest.FixtureRequest, parameters: Parameters) -> ComputeParameters:
    changes = {"device": request.param, "precision": "float32"}
    return parameters.compute.model_copy(update=changes)


@pytest.mark.parametrize("flip_average", [False, True])
def test_network_embeds_as_it_is_evaluated(
    parameters: Parameters, compute: ComputeParameters, flip_average: bool
) -> None:
    student = parameters.student.model_copy(update={"backbone": "small_cnn"})
    network = build_embedder(3, (1, 8, 8), student).eval()
    weights = weights_of(network)
    card = card_of(weights, student, NORMALISATION, flip_average=not flip_average)
    changes = {"flip_average": flip_average, "batch_size": 3}
    evaluation = parameters.evaluation.model_copy(update=changes)
    pixels = torch.randint(0, 256, (7, 1, 8, 8), dtype=torch.uint8)
    found = embedder(weights, card, evaluation, compute)(pixels)
    with torch.no_grad():
        seen = (pixels.float() - 127) / 74
        expected = network(seen)
        if flip_average:
            expected = (expected + network(seen.flip(3))) / 2
    torch.testing.assert_close(found, expected)
    assert embedder(weights, card, evaluation, compute)(pixels[:0]).shape == (0, 2)
    with pytest.raises(InputError, match=r"images of \[3, 8, 8\] .* expects \[1, 8, 8\]"):
        embedder(weights, card, evaluation, compute)(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))


def test_pixels_stay_as_they_are(parameters: Parameters, compute: ComputeParameters) -> None:
    pixels = torch.randint(0, 256, (5, 3, 4, 4), dtype=torch.uint8)
    found = embedder(None, None, parameters.evaluation, compute)(pixels)
    assert found.dtype == torch.uint8
    assert torch.equal(found, pixels.reshape(5, 48))
