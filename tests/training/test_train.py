from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from conftest import PROJECT
from guided_dml.blocks import StudentParameters, Task
from guided_dml.methods.anchors import Anchors
from guided_dml.parameters import Parameters
from guided_dml.training.batches import RandomBatches
from guided_dml.training.checkpoints import CheckpointStore
from guided_dml.training.policy import Policy
from guided_dml.training.train import train_embedder


class KilledError(Exception):
    pass


def test_a_killed_training_by_the_fast_recipe_ends_as_if_never_killed(
    parameters: Parameters, policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = yaml.safe_load((PROJECT / "conf/cifar10/recipes/fast.yml").read_text())["student"]
    small = {"epochs": 3, "batch_size": 8}
    asked = {"precision": "bfloat16", "device": policy.device.type, "deterministic": True}
    student = StudentParameters.model_validate(parameters.student.model_dump() | recipe | small)
    source = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (24, 3, 16, 16), dtype=torch.uint8, generator=source)
    task, method = Task(student, classes=3, seed=1), Anchors(margin=3, normalise_embeddings=False)

    def train(store: CheckpointStore | None) -> Any:
        return train_embedder(
            method,
            task,
            method.answers(task, torch.arange(24) % 3),
            images=images,
            rows=torch.arange(20),
            normalisation={"mean": [127.0] * 3, "std": [74.0] * 3},
            compute=parameters.compute.model_copy(update=asked),
            checkpoints=store,
        )

    store, epoch = CheckpointStore(tmp_path, interval=0), RandomBatches.epoch

    def killed_in_the_second(batches: Any, number: int) -> Any:
        if number == 2:
            raise KilledError
        return epoch(batches, number)

    with monkeypatch.context() as patch:
        patch.setattr(RandomBatches, "epoch", killed_in_the_second)
        with pytest.raises(KilledError):
            train(store)
    resumed, its_history, _ = train(store)
    assert store.resumed
    weights, history, _ = train(None)
    assert its_history.equals(history)
    assert len(history) == 3
    assert all(resumed[name].equal(value) for name, value in weights.items())
