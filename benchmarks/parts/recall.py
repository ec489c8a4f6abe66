"""Minutes to Recall@1 on CIFAR-10: the recipe `fast` beside a plain PyTorch loop."""

from __future__ import annotations

import sys
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader

from guided_dml.blocks import ComputeParameters, Task
from guided_dml.datasets.torchvision_images import TorchvisionDataset
from guided_dml.losses import spread
from guided_dml.methods.anchors import Anchors
from guided_dml.metrics.retrieval import retrieval_scores
from guided_dml.models.backbones import build_embedder
from guided_dml.training.batches import DeviceImages
from guided_dml.training.embed import embed
from guided_dml.training.train import fit_whitening, train_embedder
from parts.fullsize import IMAGES, POLICIES, Augmented, similarity, student
from parts.memory import RAW
from parts.training import BASE
from run import Table, markdown

#: Of the plain loop: what this project's first full-size trials used (docs/results.md).
PLAIN: dict[str, Any] = {"lr": 0.02, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}

NORMALISATION = {"mean": [125.3, 123.0, 113.9], "std": [63.0, 62.1, 66.7]}


class Images:
    """CIFAR-10's training images, a tenth of them held out as queries."""

    def __init__(self) -> None:
        raw = TorchvisionDataset(path=str(RAW), name="CIFAR10", verify=False).load()
        assert raw.test is not None
        self.pixels, self.labels = (
            torch.from_numpy(values[~raw.test]) for values in (raw.images, raw.labels)
        )
        order = torch.from_numpy(np.random.default_rng(0).permutation(len(self.labels)))
        self.train, self.held_out = order[:IMAGES], order[IMAGES:]

    def on(self, device: torch.device) -> DeviceImages:
        return DeviceImages(self.pixels, NORMALISATION, device)

    def recall(self, network: Any) -> float:
        """Return Recall@1 of the held-out images, references the images that were learnt."""
        policy = POLICIES["float32"]
        found = embed(policy.place(network), self.on(policy.device), policy, batch_size=128)
        query, reference = (
            (found[rows], self.labels[rows]) for rows in (self.held_out, self.train)
        )
        return retrieval_scores(*query, *reference)["recall_at_1"]


def method_and_targets(images: Images, epochs: int) -> tuple[Anchors, Task, Tensor]:
    """Return what both loops learn: a fixed point for each class, not at the recipe's scale yet."""
    settings, method = student(epochs=epochs), Anchors(**BASE["anchors"])
    task = Task(settings, classes=10, seed=0)
    return method, task, method.answers(task, images.labels)


class Clock:
    """Minutes since it was made: those that passed, and those of all cores together."""

    def __init__(self) -> None:
        self._begin = perf_counter(), process_time()

    def minutes(self) -> list[str]:
        now = perf_counter(), process_time()
        return [f"{(end - start) / 60:.1f}" for start, end in zip(self._begin, now, strict=True)]


def plain(images: Images, epochs: int) -> tuple[list[str], float]:
    """Train as a plain loop does; return minutes and Recall@1."""
    _, task, targets = method_and_targets(images, epochs)
    targets = targets * (task.student.target_scale or 1) / spread(targets[images.train])
    network = build_embedder(0, (3, 32, 32), task.student)
    fit_whitening(network, images.on(torch.device("cpu")), images.train)
    mean, std = (torch.tensor(NORMALISATION[name])[:, None, None] for name in ("mean", "std"))
    train = Augmented(images.pixels[images.train], targets[images.train])
    loader = DataLoader(train, batch_size=task.student.batch_size, shuffle=True, drop_last=True)
    optimiser = torch.optim.SGD(network.parameters(), **PLAIN)
    schedule = OneCycleLR(optimiser, PLAIN["lr"], total_steps=epochs * len(loader))
    clock = Clock()
    network.train()
    for epoch in range(epochs):
        for some, at in loader:
            optimiser.zero_grad()
            loss = similarity(network((some * 255 - mean) / std), at)
            loss.backward()
            optimiser.step()
            schedule.step()
        print(f"plain {epoch + 1}/{epochs}: loss {loss.item():.3f}", file=sys.stderr, flush=True)
    minutes = clock.minutes()
    return minutes, images.recall(network)


def ours(images: Images, epochs: int) -> tuple[list[str], float]:
    """Train by the recipe; return minutes and Recall@1."""
    method, task, targets = method_and_targets(images, epochs)
    clock = Clock()
    weights, *_ = train_embedder(
        method,
        task,
        targets,
        images=images.pixels,
        rows=images.train,
        normalisation=NORMALISATION,
        compute=ComputeParameters(**BASE["compute"] | {"precision": "bfloat16"}),
        checkpoints=None,
    )
    minutes = clock.minutes()
    network = build_embedder(0, (3, 32, 32), task.student)
    network.load_state_dict(weights)
    return minutes, images.recall(network)


def measure() -> str:
    if not (RAW / "cifar-10-batches-py").exists():
        return "## Minutes to Recall@1\n\nNot measured: CIFAR-10 is not in data/01_raw/torchvision."
    images = Images()
    rows: Table = [["loop", "epochs", "minutes", "core minutes", "Recall@1, %"]]
    for name, loop, epochs in (
        ("ours, bfloat16", ours, 3),
        ("ours, bfloat16", ours, 5),
        ("plain loop, DataLoader, float32", plain, 8),
    ):
        minutes, recall = loop(images, epochs)
        rows.append([name, str(epochs), *minutes, f"{100 * recall:.1f}"])
    return (
        "## Minutes to Recall@1\n\n"
        "All of CIFAR-10's training images but 5,000 queries, two dimensions, the same network, "
        "whitened alike, and the same targets\n(a fixed point a class); no flip averaging. The "
        "plain loop: SGD with Nesterov momentum, one cycle. One training each.\n\n" + markdown(rows)
    )
