from __future__ import annotations

import pytest
import torch

from guided_dml.errors import InputError
from guided_dml.models.gemini import Gemini
from guided_dml.parameters import Parameters

PAPER = {"kernel_size": 5, "padding": 0}


@pytest.mark.parametrize(("side", "features"), [(28, 1024), (32, 1600), (16, 64)])
def test_streams_of_the_paper_have_its_sizes(
    parameters: Parameters, side: int, features: int
) -> None:
    gemini = Gemini(0, (1, side, side), 2, parameters.gemini.model_copy(update=PAPER), 2)
    assert gemini.local(torch.zeros(3, 1, side, side), 1).shape == (3, features)


def test_images_too_small_say_what_to_change(parameters: Parameters) -> None:
    with pytest.raises(InputError, match=r"8x8 pixels .* gemini.kernel_size=5 .*gemini.padding=0"):
        Gemini(0, (1, 8, 8), 2, parameters.gemini.model_copy(update=PAPER), 2)


def test_same_seed_same_weights(parameters: Parameters) -> None:
    def weights(seed: int) -> torch.Tensor:
        model = Gemini(seed, (1, 8, 8), 3, parameters.gemini, 2)
        return torch.cat([value.flatten() for value in model.state_dict().values()])

    assert weights(0).equal(weights(0))
    assert not weights(0).equal(weights(1))
