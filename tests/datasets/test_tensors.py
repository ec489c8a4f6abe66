from __future__ import annotations

from pathlib import Path

import torch

from guided_dml.datasets.tensors import TensorsDataset


def test_tensors_come_back_as_they_were(tmp_path: Path) -> None:
    dataset = TensorsDataset(filepath=str(tmp_path / "x.safetensors"), backend="torch")
    stored = {
        "images": torch.arange(24, dtype=torch.uint8).view(2, 3, 2, 2),
        "labels": torch.tensor([1, 0]),
        "none": torch.zeros(0, 2),
    }
    dataset.save(stored)
    loaded = dataset.load()
    assert set(loaded) == set(stored)
    for name, tensor in stored.items():
        assert loaded[name].dtype == tensor.dtype
        assert loaded[name].equal(tensor)


def test_a_change_in_memory_stays_there(tmp_path: Path) -> None:
    dataset = TensorsDataset(filepath=str(tmp_path / "x.safetensors"), backend="torch")
    dataset.save({"x": torch.zeros(1000)})
    dataset.load()["x"].fill_(7)
    assert dataset.load()["x"].equal(torch.zeros(1000))
