from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from guided_dml.blocks import TrainingParameters
from guided_dml.errors import InputError
from guided_dml.models.layers import Convolution3x3
from guided_dml.parameters import Parameters
from guided_dml.seeding import generator
from guided_dml.training.batches import ImageBatch, RandomBatches
from guided_dml.training.fit import _refuse_divergence, fit
from guided_dml.training.policy import Policy

POLICY = Policy(torch.device("cpu"))


def settings(parameters: Parameters, **changes: Any) -> TrainingParameters:
    plain = {
        "epochs": 3,
        "learning_rate": 0.1,
        "momentum": 0.0,
        "weight_decay": 0.0,
        "clip_gradient_values": None,
        "schedule": "constant",
    }
    return parameters.gemini.model_copy(update=plain | changes)


def regression(device: torch.device = POLICY.device) -> tuple[nn.Linear, Tensor, Tensor]:
    source = torch.Generator().manual_seed(0)
    inputs = torch.randn(10, 3, generator=source, dtype=torch.float64)
    targets = inputs @ torch.tensor([[1.0], [-2.0], [0.5]], dtype=torch.float64)
    model = nn.Linear(3, 1, bias=False, dtype=torch.float64)
    nn.init.zeros_(model.weight)
    return model.to(device), inputs.to(device), targets.to(device)


def squared(model: nn.Module, rows: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
    loss: Tensor = (model(inputs[rows]) - targets[rows]).square().mean()
    return loss


def train(
    parameters: TrainingParameters, policy: Policy = POLICY
) -> tuple[nn.Linear, Any, list[list[int]]]:
    model, inputs, targets = regression(policy.device)
    seen: list[list[int]] = []

    def loss_of(model: nn.Linear, batch: ImageBatch) -> Tensor:
        seen.append(batch.rows.tolist())
        return squared(model, batch.rows, inputs, targets)

    batches = RandomBatches(torch.arange(10, device=policy.device), 4, generator(0, "rows"))
    return model, fit(model, loss_of, batches, parameters, policy, "student"), seen


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("clip", [None, 0.1])
def test_steps_are_those_of_sgd_by_hand(
    parameters: Parameters, policy: Policy, momentum: float, clip: float | None
) -> None:
    changes = {"momentum": momentum, "weight_decay": 0.01, "clip_gradient_values": clip}
    model, history, seen = train(settings(parameters, **changes), policy)
    _, inputs, targets = regression()
    weight, velocity, losses = torch.zeros(3, dtype=torch.float64), None, []
    for rows in seen:
        x, y = inputs[rows], targets[rows, 0]
        losses.append(((x @ weight - y) ** 2).mean().item())
        gradient = 2 * x.T @ (x @ weight - y) / len(rows)
        if clip:
            gradient = gradient.clamp(-clip, clip)
        gradient = gradient + 0.01 * weight
        velocity = gradient if velocity is None else momentum * velocity + gradient
        weight = weight - 0.1 * velocity
    torch.testing.assert_close(model.weight.detach()[0].cpu(), weight)
    assert history["loss"].tolist() == pytest.approx(
        [sum(losses[i : i + 3]) / 3 for i in (0, 3, 6)]
    )
    assert history["images_seen"].tolist() == [10, 20, 30]
    assert history["epoch"].tolist() == [1, 2, 3]


def test_nesterov_looks_ahead_and_norms_and_biases_need_not_decay(parameters: Parameters) -> None:
    model = nn.Linear(1, 1)
    with torch.no_grad():
        model.weight.fill_(2.0), model.bias.fill_(3.0)
    changes = {"momentum": 0.5, "nesterov": True, "decay_norms_and_biases": False}
    train = settings(parameters, **changes, epochs=1, weight_decay=0.1)
    ones = RandomBatches(torch.arange(2), 2, generator(0, "rows"))
    fit(model, lambda model, _: model(torch.ones(1, 1)).sum(), ones, train, POLICY, "student")
    # (a first step's velocity is its gradient, so Nesterov's step is 1.5 of them)
    assert model.weight.item() == pytest.approx(2.0 - 0.1 * 1.5 * (1 + 0.1 * 2.0))
    assert model.bias.item() == pytest.approx(3.0 - 0.1 * 1.5)


def test_the_running_average_of_the_weights_is_the_result(
    parameters: Parameters, policy: Policy
) -> None:
    plain, averaged = (settings(parameters, average=average) for average in (0.0, 0.75))
    model, inputs, targets = regression(policy.device)
    visited: list[Tensor] = []

    def loss_of(model: nn.Linear, batch: ImageBatch) -> Tensor:
        visited.append(model.weight.detach().clone())
        return squared(model, batch.rows, inputs, targets)

    batches = RandomBatches(torch.arange(10, device=policy.device), 4, generator(0, "rows"))
    fit(model, loss_of, batches, plain, policy, "student")
    after = [*visited[1:], model.weight.detach()]
    expected = after[0]
    for before, weight in enumerate(after[1:], start=1):
        kept = min(0.75, before / (before + 10))
        expected = kept * expected + (1 - kept) * weight
    torch.testing.assert_close(train(averaged, policy)[0].weight.detach(), expected)


def test_norms_beside_averaged_weights_have_the_last_statistics(parameters: Parameters) -> None:
    _, inputs, targets = regression()
    inputs, targets = inputs.float(), targets.float()
    states = []
    for average in (0.0, 0.75):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))

        def loss_of(model: nn.Sequential, batch: ImageBatch) -> Tensor:
            return squared(model, batch.rows, inputs, targets)

        batches = RandomBatches(torch.arange(10), 4, generator(0, "rows"))
        fit(model, loss_of, batches, settings(parameters, average=average), POLICY, "student")
        states.append(model.state_dict())
    plain, averaged = states
    for name, value in plain.items():
        same = name.rpartition(".")[2] in ("running_mean", "running_var", "num_batches_tracked")
        assert averaged[name].equal(value) == same, name
    assert averaged["1.num_batches_tracked"] == 9


def test_plateau_lowers_the_rate_when_the_loss_stalls(parameters: Parameters) -> None:
    changes = {"schedule": "plateau", "plateau_factor": 0.25, "plateau_patience": 1, "epochs": 7}
    model, rows = nn.Linear(1, 1), RandomBatches(torch.arange(4), 2, generator(0, "rows"))
    train = settings(parameters, **changes)
    history = fit(  # (a loss that never moves)
        model, lambda model, _: 1 + 0 * model.weight.sum(), rows, train, POLICY, "student"
    )
    rates = (history["learning_rate"] / 0.1).tolist()
    assert rates == pytest.approx([1, 1, 1, 0.25, 0.25, 0.0625, 0.0625])


def test_one_cycle_rises_and_falls(parameters: Parameters) -> None:
    _, history, _ = train(settings(parameters, epochs=20, schedule="one_cycle"))
    rates = history["learning_rate"].tolist()
    assert rates[0] == pytest.approx(0.1 / 25)
    assert max(rates) == pytest.approx(0.1, rel=0.05)
    assert rates[-1] < 0.01
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]


def test_linear_falls_in_a_straight_line_to_zero(parameters: Parameters) -> None:
    _, history, _ = train(settings(parameters, epochs=20, schedule="linear"))
    expected = [0.1 * (20 - epoch) / 20 for epoch in range(20)]
    assert history["learning_rate"].tolist() == pytest.approx(expected)


def test_divergence_stops_at_its_step_and_names_the_rate(parameters: Parameters) -> None:
    model, inputs, targets = regression()
    steps = []

    def loss_of(model: nn.Linear, batch: ImageBatch) -> Tensor:
        steps.append(1)
        factor = float("nan") if len(steps) == 5 else 1.0
        return factor * squared(model, batch.rows, inputs, targets)

    batches = RandomBatches(torch.arange(10), 4, generator(0, "rows"))
    with pytest.raises(
        InputError, match=r"student: the loss became nan at epoch 2, step 2, .*learning_rate=0.1"
    ):
        fit(model, loss_of, batches, settings(parameters), POLICY, "student")
    assert len(steps) == 5


def test_divergence_names_both_rates_of_muon(parameters: Parameters) -> None:
    model = nn.Sequential(Convolution3x3(3, 4), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(1))
    model(torch.zeros(2, 3, 4, 4))
    batches = RandomBatches(torch.arange(4), 2, generator(0, "rows"))
    muon = settings(parameters, muon_learning_rate=0.25)
    with pytest.raises(
        InputError, match=r"learning_rate=0\.1 and student\.muon_learning_rate=0\.25"
    ):
        fit(
            model,
            lambda model, _: model(torch.ones(2, 3, 4, 4)).sum() * torch.inf,
            batches,
            muon,
            POLICY,
            "student",
        )


def test_same_seed_same_bytes(parameters: Parameters, policy: Policy) -> None:
    first, again = (train(settings(parameters), policy)[0].weight for _ in range(2))
    assert first.equal(again)


def test_weights_that_overflow_in_the_last_step_are_refused(parameters: Parameters) -> None:
    model, inputs, targets = regression()

    def loss_of(model: nn.Linear, batch: ImageBatch) -> Tensor:
        return 1e4 * squared(model, batch.rows, inputs, targets)

    one_step = RandomBatches(torch.arange(10), 10, generator(0, "rows"))
    diverging = settings(parameters, epochs=1, learning_rate=1e308)
    with pytest.raises(InputError, match=r"student: the last step's weights are not finite"):
        fit(model, loss_of, one_step, diverging, POLICY, "student")


def test_of_losses_looked_at_together_the_first_bad_one_is_named(parameters: Parameters) -> None:
    """As on a GPU, where every look waits for the device."""
    losses = [torch.tensor(1.0)] * 51 + [torch.tensor(torch.inf), torch.tensor(torch.nan)]
    with pytest.raises(InputError, match=r"became inf at epoch 3, step 52, "):
        _refuse_divergence(losses, 50, "student", 3, settings(parameters))
