"""What full-size trainings on a CPU take: precisions, the input's share, many classes."""

from __future__ import annotations

from collections.abc import Callable
from statistics import quantiles
from time import perf_counter
from typing import Any

import torch
import yaml
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from guided_dml.blocks import ComputeParameters, GeminiParameters, StudentParameters
from guided_dml.losses import guidance_loss
from guided_dml.models.backbones import build_embedder
from guided_dml.models.gemini import Gemini
from guided_dml.pipelines.gemini.nodes import train_gemini
from guided_dml.seeding import generator
from guided_dml.training.batches import DeviceImages, RandomBatches
from guided_dml.training.fit import fit
from guided_dml.training.optimiser import optimiser_of
from guided_dml.training.policy import Policy
from guided_dml.training.triplets import draw, images_by_class, pairs_of
from parts.timing import alternate
from parts.training import BASE, limit, pixels
from run import PAGE, Table, markdown

POLICIES = {
    precision: Policy.of(ComputeParameters(**BASE["compute"] | {"precision": precision}))
    for precision in ("float32", "bfloat16")
}
RECIPE = yaml.safe_load((PAGE.parents[1] / "conf/cifar10/recipes/fast.yml").read_text())

#: Of CIFAR-10's split.train.
IMAGES = 45_000

similarity = guidance_loss("l2", 1.0)


def student(**changes: Any) -> StudentParameters:
    return StudentParameters(**BASE["student"] | RECIPE["student"] | {"epochs": 1} | changes)


def precision_row(name: str, channels: int, side: int, batch: int, **changes: Any) -> list[str]:
    """Time one step of a network on a fixed batch, in both precisions by turns."""
    settings = student(batch_size=batch, muon_learning_rate=None, **changes)
    shape, at = (channels, side, side), torch.randn(batch, 2)
    images = DeviceImages(pixels(batch, side, channels), None, torch.device("cpu")).take(
        slice(None)
    )

    def step(policy: Policy) -> Callable[[], None]:
        model = policy.place(build_embedder(0, shape, settings)).train()
        optimiser = optimiser_of(model, settings, "student")

        def work() -> None:
            optimiser.zero_grad()
            with policy.forward_precision():
                loss = similarity(model(images / 255).float(), at)
            loss.backward()
            optimiser.step()

        return work

    measured = alternate(5, **{name: step(policy) for name, policy in POLICIES.items()})
    floats, halves = (measured[name].median for name in POLICIES)
    model = POLICIES["float32"].place(build_embedder(0, shape, settings))
    least = limit(model, images, torch.bfloat16)
    speeds = f"{batch / floats:.0f}", f"{batch / halves:.0f}"
    return [
        name,
        *speeds,
        f"{floats / halves:.2f}",
        f"{batch / least:.0f}",
        f"{least / halves:.0%}",
    ]


class Augmented(Dataset[tuple[Tensor, Tensor]]):
    """As a plain loop does it: each image by itself, with torchvision's transforms."""

    def __init__(self, images: Tensor, targets: Tensor) -> None:
        self.images, self.targets = images, targets
        self.transform = v2.Compose(
            [
                v2.RandomHorizontalFlip(),
                v2.RandomCrop(32, padding=2, padding_mode="reflect"),
                v2.ToDtype(torch.float32, scale=True),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.transform(self.images[index]), self.targets[index]


def loop_rows(steps: int = 4, pairs: int = 7) -> Table:
    """Time `fast` on images like CIFAR-10's: a plain loop, ours, and ours on one fixed batch."""
    settings, policy = student(), POLICIES["bfloat16"]
    count = settings.batch_size * steps
    images, targets = pixels(count, 32, 3), torch.randn(count, 2)
    resident = DeviceImages(images, {"mean": [127.0] * 3, "std": [74.0] * 3}, policy.device)
    loader = DataLoader(Augmented(images, targets), batch_size=settings.batch_size, shuffle=True)
    plain = build_embedder(0, (3, 32, 32), settings).train()
    model = policy.place(build_embedder(0, (3, 32, 32), settings))
    fixed = resident.take(slice(0, settings.batch_size))

    def peer() -> None:
        optimiser = torch.optim.SGD(plain.parameters(), lr=1e-3, momentum=0.9)
        for some, at in loader:
            optimiser.zero_grad()
            similarity(plain(some), at).backward()
            optimiser.step()

    def trained(take: Callable[..., Tensor], **views: Any) -> Callable[[], Any]:
        def loss_of(model: nn.Module, batch: Any) -> Tensor:
            return similarity(model(take(*batch)).float(), targets[batch.rows])

        order, size = generator(0, "rows"), settings.batch_size
        batches = RandomBatches(torch.arange(count), size, order, **views)
        return lambda: fit(model, loss_of, batches, settings, policy, "student")

    ours = trained(resident.take, flip=settings.flip, shift=settings.shift)
    bare = trained(lambda *_: fixed)
    measured = alternate(3, peer=peer, ours=ours)
    turns = alternate(pairs, ours=ours, bare=bare)
    both = zip(turns["ours"].seconds, turns["bare"].seconds, strict=True)
    low, overhead, high = quantiles((one / other - 1 for one, other in both), n=4)
    epochs = RECIPE["student"]["epochs"]
    rows = []
    for name in ("peer", "ours"):
        speed = count / measured[name].median
        words = {"peer": "plain loop, DataLoader, float32", "ours": "ours, bfloat16"}[name]
        share = f"{overhead:+.1%} ({low:+.1%} to {high:+.1%})" if name == "ours" else ""
        rows.append([words, f"{speed:.0f}", f"{epochs * IMAGES / speed / 60:.0f}", share])
    return rows


def classes_row(classes: int) -> list[str]:
    """Time some of an epoch's pairs of GEMINI with many classes of 28x28 images, 64 of each."""
    labels = torch.arange(classes).repeat_interleave(64)
    images = pixels(len(labels), 28)
    every = classes * (classes - 1)
    members = images_by_class(labels, torch.arange(len(labels)))
    pairs = pairs_of(None, classes)
    timed = min(pairs, 60)
    triplets = draw(members, timed, 32, torch.Generator().manual_seed(0))
    own = {"kernel_size": 5, "padding": 0, "fresh_triplets": True}
    seconds = []
    for epochs in (1, 3):
        settings = GeminiParameters(**BASE["gemini"] | own | {"epochs": epochs})
        begin = perf_counter()
        train_gemini(
            {"images": images, "labels": labels},
            {"mean": [127.0], "std": [74.0]},
            triplets,
            {"train": torch.arange(len(labels))},
            settings,
            2,
            False,
            ComputeParameters(**BASE["compute"]),
            0,
            None,
        )
        seconds.append(perf_counter() - begin)
    epoch = (seconds[1] - seconds[0]) / 2 / timed * pairs
    model = Gemini(0, (1, 28, 28), classes, settings, 2)
    weights = sum(weight.numel() for weight in model.parameters())
    stream = model.streams[0]
    precision = Policy.of(ComputeParameters(**BASE["compute"])).autocast or torch.float32
    least = pairs * limit(stream, images[:96].float(), precision)
    return [
        f"{classes:,}",
        f"{every:,}",
        f"{pairs:,}",
        f"{epoch:.1f}",
        f"{30 * epoch / 60:.1f}",
        f"{least:.1f}",
        f"{weights / 1e6:.0f}",
    ]


def measure() -> str:
    small = {"backbone": "resnet18", "stem": "small"}
    head = "network, images, batch | float32, images/s | bfloat16, images/s | ratio | limit | of it"
    precisions: Table = [
        head.split(" | "),
        precision_row("airbench, 3x32x32, 500", 3, 32, 500),
        precision_row("airbench, 28x28, 500", 1, 28, 500),
        precision_row("ResNet-18, small stem, 28x28, 32", 1, 28, 32, **small),
        precision_row("ResNet-18, small stem, 8x8, 64", 1, 8, 64, **small),
        precision_row("small_cnn, 8x8, 64", 1, 8, 64, backbone="small_cnn"),
    ]
    epochs = RECIPE["student"]["epochs"]
    loops: Table = [["loop", "images/s", f"minutes for {epochs} epochs", "input and augmentation"]]
    loops += loop_rows()
    head = "classes | ordered pairs | pairs an epoch | an epoch, s | 30 epochs, min | limit, s"
    many: Table = [[*head.split(" | "), "weights, millions"]]
    many += [classes_row(count) for count in (10, 100, 1000)]
    return (
        "## Full-size trainings\n\n"
        "A step on a fixed batch, both precisions by turns, median of 5. Limit: the step's "
        "multiplications at\nthe rate of a 2048 x 2048 bfloat16 product.\n\n"
        + markdown(precisions)
        + "\n\n`fast` on CIFAR-10: the same network in a plain PyTorch loop (a DataLoader, "
        "torchvision's transforms, SGD), and in ours (Muon, averaged weights and all). Input and "
        "augmentation: above ours\non one fixed batch, median of 7 pairs (the middle half).\n\n"
        + markdown(loops)
        + "\n\nGEMINI with many classes of 28x28 images, 32 triplets a pair, fresh triplets; an "
        "epoch's time from 120 steps:\n\n" + markdown(many)
    )
