"""Training steps beside a plain PyTorch loop, and what the input costs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from statistics import quantiles
from time import perf_counter
from typing import Any

import torch
import yaml
from torch import Tensor, nn
from torch.optim import SGD
from torch.utils.data import DataLoader, TensorDataset

from guided_dml.blocks import GeminiParameters, StudentParameters
from guided_dml.losses import gemini_loss, guidance_loss
from guided_dml.models.backbones import build_embedder
from guided_dml.models.gemini import Gemini
from guided_dml.models.layers import Convolution3x3, PReLU
from guided_dml.seeding import generator
from guided_dml.training.batches import DeviceImages, ImageBatch, RandomBatches
from guided_dml.training.fit import fit
from guided_dml.training.policy import Policy
from guided_dml.training.triplets import TripletBatches
from parts.timing import alternate
from run import PAGE, Table, markdown

#: Of our loop and the bare model; fewer do not tell a few percent from noise.
PAIRS = 15

#: Of the student's steps in the plain loop and in the bare model.
student_sgd = partial(SGD, lr=1e-3, momentum=0.9, weight_decay=1e-4)

POLICY = Policy(torch.device("cpu"))
NORMALISATION = {"mean": [33.0], "std": [78.0]}
BASE = yaml.safe_load((PAGE.parents[1] / "conf/base/parameters.yml").read_text())


def pixels(count: int, side: int, channels: int = 1) -> Tensor:
    source = torch.Generator().manual_seed(0)
    size = (count, channels, side, side)
    return torch.randint(0, 256, size, dtype=torch.uint8, generator=source)


def plain(model: nn.Module) -> Any:
    """Return the model with PyTorch's own layers, in PyTorch's own order of memory."""
    own: dict[type[nn.Module], type[nn.Module]] = {Convolution3x3: nn.Conv2d, PReLU: nn.PReLU}
    for module in model.modules():
        module.__class__ = own.get(type(module), type(module))
    return model


def descend(model: nn.Module, optimiser: SGD, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_value_(model.parameters(), 0.1)
    optimiser.step()


def student_row(side: int, batch: int, steps: int) -> list[str]:
    """Time steps of the student's: a DataLoader loop, ours, and ours on one fixed batch."""
    settings = StudentParameters(**BASE["student"] | {"epochs": 1, "batch_size": batch})
    images, targets = pixels(batch * steps, side), torch.randn(batch * steps, 2)
    similarity = guidance_loss("l2", 1.0)
    network = plain(build_embedder(0, (1, side, side), settings)).train()
    optimiser = student_sgd(network.parameters())
    loader = DataLoader(TensorDataset(images, targets), batch_size=batch, shuffle=True)

    def peer() -> None:
        for some, at in loader:
            descend(network, optimiser, similarity(network((some.float() - 33) / 78), at))

    model = POLICY.place(build_embedder(0, (1, side, side), settings))
    resident = DeviceImages(images, NORMALISATION, POLICY.device)
    order = torch.arange(len(images))
    fixed = resident.take(slice(0, batch))

    def trained(take: Callable[[Tensor], Tensor]) -> Callable[[], Any]:
        def loss_of(model: nn.Module, batch: ImageBatch) -> Tensor:
            return similarity(model(take(batch.rows)), targets[batch.rows])

        batches = RandomBatches(order, batch, generator(0, "rows"))
        return lambda: fit(model, loss_of, batches, settings, POLICY, "student")

    def bare() -> None:
        # (as new as that of `fit`: the first step makes the momentum's memory, 45 MB)
        fresh = student_sgd(model.parameters())
        for _ in range(steps):
            descend(model, fresh, similarity(model(fixed), targets[:batch]))

    return row(
        f"student, {side}x{side}, batch {batch}",
        steps,
        peer,
        trained(resident.take),
        bare,
        limit(model, fixed),
    )


def gemini_row(side: int) -> list[str]:
    """Time an epoch of GEMINI's: 90 class pairs of 32 triplets."""
    small = {"kernel_size": 3, "padding": 1} if side < 16 else {"kernel_size": 5, "padding": 0}
    settings = GeminiParameters(**BASE["gemini"] | small | {"epochs": 1})
    shape, images = (1, side, side), pixels(2_000, side)
    pairs = [(i, j) for i in range(10) for j in range(10) if i != j]
    rows = torch.randint(0, 2_000, (3, 90, 32), generator=torch.Generator().manual_seed(0))
    triplets = dict(zip(("anchors", "positives", "negatives"), rows, strict=True))
    naive = plain(Gemini(0, shape, 10, settings, 2))
    optimiser = SGD(naive.parameters(), lr=1e-3)

    def loss_from(model: Gemini, same: Tensor, other: Tensor, classes: tuple[int, int]) -> Tensor:
        local = model.local(same, classes[0])
        z = model.head(torch.cat([local, model.local(other, classes[1])])).chunk(3)
        return gemini_loss(*local.chunk(2), *z, beta=0.005, margin=3.0)

    def peer() -> None:
        for pair, (anchors, positives, negatives) in zip(pairs, rows.unbind(1), strict=True):
            parts = (images[some] for some in (anchors, positives, negatives))
            some = [(part.float() - 33) / 78 for part in parts]
            loss = loss_from(naive, torch.cat(some[:2]), some[2], pair)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    model = POLICY.place(Gemini(0, shape, 10, settings, 2))
    resident = DeviceImages(images, NORMALISATION, POLICY.device)
    batches = TripletBatches(triplets | {"classes": torch.tensor(pairs)}, POLICY.device)

    def loss_of(model: Gemini, batch: Any) -> Tensor:
        same, other = resident.take(batch.rows).tensor_split([64])
        return loss_from(model, same, other, (batch.positive_class, batch.negative_class))

    same, other = resident.take(slice(0, 64)), resident.take(slice(64, 96))
    bare_optimiser = SGD(model.parameters(), lr=1e-3)

    def bare() -> None:
        for pair in pairs:
            loss = loss_from(model, same, other, pair)
            bare_optimiser.zero_grad()
            loss.backward()
            bare_optimiser.step()

    def trained() -> Any:
        return fit(model, loss_of, batches, settings, POLICY, "gemini")

    of_one = model.streams[0], torch.cat([same, other])
    return row(f"GEMINI, {side}x{side}, 32 triplets", 90, peer, trained, bare, limit(*of_one))


def limit(model: nn.Module, images: Tensor, precision: torch.dtype = torch.float32) -> float:
    """Return seconds of a step's matrix products at this machine's rate for large ones."""
    operations = 0.0

    def count(layer: Any, _: Any, output: Tensor) -> None:
        nonlocal operations
        operations += 2.0 * output.numel() * layer.weight[0].numel()

    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    with torch.no_grad():
        model(images)
    for hook in hooks:
        hook.remove()
    side = 2048
    factors = torch.randn(2, side, side).to(precision)
    seconds = []
    for _ in range(5):
        begin = perf_counter()
        factors[0] @ factors[1]
        seconds.append(perf_counter() - begin)
    # (forward, and the gradients of weights and of inputs)
    return 3 * operations * min(seconds) / (2 * side**3)


def row(
    name: str,
    steps: int,
    peer: Callable[[], Any],
    ours: Callable[[], Any],
    bare: Callable[[], Any],
    limit: float,
) -> list[str]:
    measured = alternate(5, peer=peer, ours=ours, bare=bare)
    each = {name: value.median for name, value in measured.items()}
    pairs = alternate(PAIRS, ours=ours, bare=bare)
    overheads = zip(pairs["ours"].seconds, pairs["bare"].seconds, strict=True)
    low, overhead, high = quantiles((one / other - 1 for one, other in overheads), n=4)
    return [
        name,
        measured["peer"].text(1000 / steps, 1),
        measured["ours"].text(1000 / steps, 1),
        f"{each['peer'] / each['ours']:.2f}",
        f"{overhead:+.1%} ({low:+.1%} to {high:+.1%})",
        f"{limit * 1000:.1f}",
        f"{limit * steps / each['ours']:.0%}",
    ]


def measure() -> str:
    head = "step | plain loop, ms | ours, ms | ratio | input and loop | limit, ms | of the limit"
    rows: Table = [head.split(" | ")]
    rows += [student_row(8, 64, 10), student_row(28, 32, 8), gemini_row(8), gemini_row(28)]
    return (
        "## Training\n\n"
        "Plain loop: PyTorch's own layers, contiguous order, a DataLoader for the student. "
        "Input and loop:\nour loop above the bare model on one fixed batch, "
        f"median of {PAIRS} pairs (the middle half of them).\n"
        "Limit: the step's multiplications, padding included, at the rate of a 2048 x 2048 "
        "float32 product:\nwhere padding is left out, ours can pass it.\n\n" + markdown(rows)
    )
