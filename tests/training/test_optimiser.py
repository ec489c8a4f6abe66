from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD

from devices import DEVICES
from guided_dml.blocks import TrainingParameters
from guided_dml.errors import InputError
from guided_dml.models.layers import Convolution3x3
from guided_dml.parameters import Parameters
from guided_dml.training.optimiser import Muon, Schedule, optimiser_of, orthogonal


def settings(parameters: Parameters, **changes: Any) -> TrainingParameters:
    return parameters.student.model_copy(update=changes)


def network() -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            Convolution3x3(3, 8), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 36, 2)
        )


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", [(8, 27), (64, 576), (16, 16)])
@pytest.mark.parametrize("rank", [2, None])
def test_all_directions_of_a_matrix_get_about_one_length(
    device: str, shape: tuple[int, int], rank: int | None
) -> None:
    source = torch.Generator().manual_seed(0)
    matrix = torch.randn(shape, generator=source, dtype=torch.float64)
    if rank:
        u, s, v = torch.linalg.svd(matrix, full_matrices=False)
        matrix = (u[:, :rank] * s[:rank]) @ v[:rank]
    found = orthogonal(matrix.to(device)).cpu()
    lengths = torch.linalg.svdvals(found)[: rank or min(shape)]
    assert lengths.max() < 1.6
    assert lengths.median() > 0.4
    # (the directions are the matrix's own)
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    kept = rank or min(shape)
    turned = u[:, :kept].T @ found @ v[:kept].T
    assert (turned - turned.diag().diag()).abs().max() < 1e-6


@pytest.mark.parametrize("device", DEVICES)
def test_streams_that_wait_for_their_first_image_train(parameters: Parameters, device: str) -> None:
    streams: Any = nn.ModuleList(nn.Linear(2, 1, bias=False) for _ in range(2)).to(device)
    gemini = parameters.gemini.model_copy(update={"momentum": 0.9})
    optimiser, before = optimiser_of(streams, gemini, "gemini"), [s.weight.clone() for s in streams]
    for visited in (streams[:1], streams):
        optimiser.zero_grad()
        sum(stream(torch.ones(1, 2, device=device)).sum() for stream in visited).backward()
        optimiser.step()
    assert all(not stream.weight.equal(was) for stream, was in zip(streams, before, strict=True))


def test_muon_trains_the_convolutions_and_sgd_the_rest(parameters: Parameters) -> None:
    model, plain = network(), network()
    muon = settings(parameters, muon_learning_rate=0.2, learning_rate=0.1, momentum=0.5)
    optimiser = optimiser_of(model, muon, "student")
    sgd = SGD(plain.parameters(), lr=0.1, momentum=0.5, weight_decay=muon.weight_decay)
    images = torch.randn(6, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    before = model[0].weight.detach().clone()
    for one, its in ((model, optimiser), (plain, sgd)):
        one(images).norm(dim=1).mean().backward()
        gradient = one[0].weight.grad.clone()
        its.step()
    assert isinstance(optimiser, Muon)
    direction = orthogonal(1.5 * gradient.flatten(1)).view_as(before)
    expected = before * (8**0.5 / before.norm()) - 0.2 * direction
    torch.testing.assert_close(model[0].weight.detach(), expected)
    for name, value in plain[1:].state_dict().items():
        assert model[1:].state_dict()[name].equal(value)


@pytest.mark.parametrize("nesterov", [True, False])
def test_muon_looks_ahead_as_it_is_told(parameters: Parameters, nesterov: bool) -> None:
    model = network()
    changes = {"muon_learning_rate": 0.2, "momentum": 0.5, "nesterov": nesterov}
    optimiser = optimiser_of(model, settings(parameters, **changes), "student")
    momentum = torch.zeros_like(model[0].weight)
    for seed in range(2):
        optimiser.zero_grad()
        model(
            torch.randn(6, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
        ).sum().backward()
        before, gradient = model[0].weight.detach().clone(), model[0].weight.grad.clone()
        optimiser.step()
        momentum = 0.5 * momentum + gradient
        towards = gradient + 0.5 * momentum if nesterov else momentum
        direction = orthogonal(towards.flatten(1)).view_as(before)
        expected = before * (8**0.5 / before.norm()) - 0.2 * direction
        torch.testing.assert_close(model[0].weight.detach(), expected)


def test_without_muon_it_is_plain_sgd(parameters: Parameters) -> None:
    optimiser = optimiser_of(network(), settings(parameters), "student")
    assert type(optimiser) is SGD
    assert len(optimiser.param_groups) == 1


def test_muon_without_anything_to_train_is_refused(parameters: Parameters) -> None:
    muon = settings(parameters, muon_learning_rate=0.2)
    with pytest.raises(
        InputError, match=r"student\.muon_learning_rate: 0\.2 given, but Muon .* airbench"
    ):
        optimiser_of(nn.Linear(2, 2), muon, "student")


@pytest.mark.parametrize("schedule", ["one_cycle", "linear"])
def test_both_rates_follow_one_schedule(parameters: Parameters, schedule: str) -> None:
    muon = settings(
        parameters, muon_learning_rate=0.2, learning_rate=0.1, schedule=schedule, epochs=4
    )
    optimiser = optimiser_of(network(), muon, "student")
    rates = Schedule(optimiser, muon, steps=5)
    seen = []
    for _ in range(20):
        seen.append([group["lr"] for group in optimiser.param_groups])
        optimiser.step()
        rates.after_step()
    assert max(first for first, _ in seen) == pytest.approx(0.1, rel=0.05)
    assert all(second == pytest.approx(2 * first) for first, second in seen)
