from __future__ import annotations

import errno
import os
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from guided_dml.blocks import StudentParameters
from guided_dml.models.layers import Convolution3x3
from guided_dml.parameters import Parameters
from guided_dml.seeding import generator
from guided_dml.training import checkpoints
from guided_dml.training.batches import ImageBatch, RandomBatches
from guided_dml.training.checkpoints import Checkpoint, CheckpointStore, fingerprint
from guided_dml.training.fit import fit
from guided_dml.training.optimiser import optimiser_of
from guided_dml.training.policy import Policy

CPU = torch.device("cpu")


class KilledError(Exception):
    pass


def train(
    parameters: StudentParameters,
    checkpoint: Checkpoint | None,
    killed_at: int | None = None,
    device: torch.device = CPU,
) -> tuple[dict[str, Tensor], Any, int]:
    """Train a small network with batch-norm; return its state, history and steps."""
    source = torch.Generator().manual_seed(0)
    inputs, targets = (torch.randn(22, n, generator=source).to(device) for n in (3, 2))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        hidden = nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2)
        model = nn.Sequential(*hidden, nn.Linear(8, 2))
        if parameters.muon_learning_rate:
            convolution = Convolution3x3(3, 8).to(memory_format=torch.channels_last)
            as_image = nn.Sequential(nn.Unflatten(1, (3, 1, 1)), convolution, nn.Flatten())
            model[0] = as_image
    model, steps = model.to(device), 0

    def loss_of(model: nn.Sequential, batch: ImageBatch) -> Tensor:
        nonlocal steps
        steps += 1
        if steps == killed_at:
            raise KilledError
        rows, sign = batch.rows, torch.ones(1, device=device)
        if batch.view is not None:  # (any use of all that is drawn)
            sign = 1 - 2 * batch.view.mirrored[:, None] + 0.1 * batch.view.shifts[:, :1]
        loss: Tensor = (model(inputs[rows] * sign) - targets[rows]).square().mean()
        return loss

    rows, views = torch.arange(22, device=device), {"flip": parameters.flip}
    batches = RandomBatches(rows, 4, generator(0, "rows"), **views, shift=parameters.shift)
    policy = Policy(device, deterministic=True)
    history = fit(model, loss_of, batches, parameters, policy, "student", checkpoint)
    return model.state_dict(), history, steps


FAST = {
    "nesterov": True,
    "decay_norms_and_biases": False,
    "average": 0.9,
    "flip": "alternating",
    "shift": 2,
}


MUON = FAST | {"muon_learning_rate": 0.1}


@pytest.mark.parametrize(
    ("schedule", "momentum", "pieces"),
    [
        *product(["constant", "plateau", "one_cycle"], [0.0, 0.9], [{}]),
        *product(["linear"], [0.9], [FAST, FAST | {"flip": "random"}, MUON]),
    ],
)
def test_a_killed_training_ends_as_if_never_killed(
    parameters: Parameters,
    tmp_path: Path,
    policy: Policy,
    schedule: str,
    momentum: float,
    pieces: dict[str, Any],
) -> None:
    changes = {"schedule": schedule, "momentum": momentum, "epochs": 7, "plateau_patience": 0}
    changes |= pieces
    settings = parameters.student.model_copy(update=changes)
    state, history, steps = train(settings, None, device=policy.device)
    for killed_at in (1, 4, 6, 7, 20, steps):
        store = CheckpointStore(tmp_path / str(killed_at), interval=0)
        with pytest.raises(KilledError):
            train(settings, store.of("x", settings), killed_at, policy.device)
        given = store.of("x", settings)
        resumed, its_history, done = train(settings, given, device=policy.device)
        assert done == steps - (killed_at - 1) // 6 * 6  # (6 steps an epoch)
        assert its_history.equals(history)
        for name, value in state.items():
            assert resumed[name].equal(value), name


def test_a_finished_training_is_taken_from_its_checkpoint_until_removed(
    parameters: Parameters, tmp_path: Path
) -> None:
    store = CheckpointStore(tmp_path / "checkpoints", interval=0)
    state, _, steps = train(parameters.student, store.of("x"))
    again, _, none = train(parameters.student, store.of("x"))
    assert (steps, none) == (150, 0)
    assert all(again[name].equal(value) for name, value in state.items())
    # (what safetensors leaves when it is killed while writing)
    (store.of("x").path.with_suffix(".partial") / ".tmpAb3xYz").write_text("half a checkpoint")
    store.remove_used()
    assert not list((tmp_path / "checkpoints").iterdir())
    assert train(parameters.student, store.of("x"))[2] == steps


@pytest.mark.parametrize("kept", [0, 100, -1])
def test_a_damaged_checkpoint_is_told_and_not_used(
    parameters: Parameters, tmp_path: Path, warned: list[str], kept: int
) -> None:
    checkpoint = CheckpointStore(tmp_path, interval=0).of("x")
    state, _, steps = train(parameters.student, checkpoint)
    checkpoint.path.write_bytes(checkpoint.path.read_bytes()[:kept])
    again, _, done = train(parameters.student, checkpoint)
    assert done == steps
    assert all(again[name].equal(value) for name, value in state.items())
    (message,) = warned
    assert f"{checkpoint.path}: damaged" in message
    assert "begins anew" in message


def test_checkpoints_of_others_are_neither_used_nor_removed(
    parameters: Parameters, tmp_path: Path
) -> None:
    store, other = (CheckpointStore(tmp_path, interval=0) for _ in range(2))
    train(parameters.student, other.of("x", 1))
    assert train(parameters.student, store.of("x", 2))[2] == 150
    store.remove_used()
    assert [path.name for path in tmp_path.glob("*.safetensors")] == [other.of("x", 1).path.name]


def test_fingerprints_tell_parameters_and_data_apart(parameters: Parameters) -> None:
    images = torch.arange(8, dtype=torch.uint8)
    student = parameters.student
    inputs: list[Any] = [
        (student, {"images": images}),
        (student.model_copy(update={"epochs": 3}), {"images": images}),
        (student, {"images": images.flip(0)}),
        (student, {"images": images.long()}),
        (student, {"images": images.view(2, 4)}),
        (student, {"pixels": images}),
        (student, {"images": images}, 1),
    ]
    hashes = [fingerprint(*some) for some in inputs]
    assert len(set(hashes)) == len(inputs)
    assert hashes == [fingerprint(*some) for some in inputs]


def test_checkpoints_are_not_written_more_often_than_the_interval(
    parameters: Parameters, tmp_path: Path
) -> None:
    store = CheckpointStore(tmp_path / "checkpoints", interval=1e6)
    with pytest.raises(KilledError):
        train(parameters.student, store.of("x"), killed_at=150)
    assert not (tmp_path / "checkpoints").exists()  # (only the last epoch's is always written)
    train(parameters.student, store.of("x"))
    assert len(list((tmp_path / "checkpoints").glob("*.safetensors"))) == 1


def test_a_checkpoint_is_of_one_code_and_of_one_version_of_the_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def path() -> Path:
        return CheckpointStore(tmp_path).of("x", 1).path

    before, code, package = (
        path(),
        checkpoints._source_code(),
        Path(checkpoints.__file__).parents[1],
    )
    assert path() == before
    folders = ("methods/guided", "models/gemini", "training/fit", "pipelines/gemini/nodes")
    for part in ("losses", "seeding", *folders):
        assert (package / f"{part}.py").read_text("utf-8") in code
    for what, other in (("_source_code", lambda: code + "#"), ("version", lambda _: "99")):
        with monkeypatch.context() as patch:
            patch.setattr(checkpoints, what, other)
            assert path() != before


def test_a_layer_that_stands_in_two_places_is_stored_and_restored(
    parameters: Parameters, tmp_path: Path
) -> None:
    layer = nn.Linear(2, 2)
    network = nn.Sequential(layer, nn.ReLU(), layer)
    checkpoint = CheckpointStore(tmp_path).of("x")
    optimiser = optimiser_of(network, parameters.student, "student")
    checkpoint.save_if_due(network, optimiser, None, [[1, 0.5]], last=True)
    stored = layer.weight.detach().clone()
    layer.weight.data.zero_()
    assert checkpoint.restore(network, optimiser, None) == [[1, 0.5]]
    assert layer.weight.equal(stored)


def test_a_full_disk_costs_the_checkpoints_and_not_the_training(
    parameters: Parameters, tmp_path: Path, warned: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = parameters.student.model_copy(update={"epochs": 2})
    expected, history, _ = train(settings, None)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        state, its_history, _ = train(settings, CheckpointStore(tmp_path, interval=0).of("x"))
    assert its_history.equals(history)
    assert all(state[name].equal(value) for name, value in expected.items())
    assert ["no checkpoint could be written" in told for told in warned] == [True, True]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
