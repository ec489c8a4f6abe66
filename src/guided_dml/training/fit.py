"""The one training loop: GEMINI and every method's student go through it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import pandas as pd
import torch
from torch import Tensor, nn
from torch.optim import SGD

from guided_dml.blocks import TrainingParameters
from guided_dml.errors import DivergedError
from guided_dml.progress import progress_bar
from guided_dml.training.batches import Batches
from guided_dml.training.checkpoints import Checkpoint
from guided_dml.training.optimiser import Average, Schedule, optimiser_of, weights_in
from guided_dml.training.policy import Policy
from guided_dml.types import History

logger = logging.getLogger(__name__)

Batch = TypeVar("Batch")
Model = TypeVar("Model", bound=nn.Module)

#: Steps between two looks at the losses on a GPU, where every look waits for the device.
GPU_CHECK_INTERVAL = 50


def fit(
    model: Model,
    loss_of: Callable[[Model, Batch], Tensor],
    batches: Batches[Batch],
    parameters: TrainingParameters,
    policy: Policy,
    name: str,
    checkpoint: Checkpoint | None = None,
) -> History:
    """Train ``model`` in place with SGD.

    Args:
        model: The network, on the policy's device.
        loss_of: The objective: of the model and a batch, a scalar, the batch's mean loss.
        batches: What an epoch visits.
        parameters: Epochs, optimiser and schedule.
        policy: Precision and determinism.
        name: The block that ``parameters`` is (``gemini``, ``student``), for the messages.
        checkpoint: Where to go on from, and to leave the state at the ends of epochs.

    Returns:
        A row an epoch: ``epoch`` (from 1), ``loss`` (mean over its steps), ``learning_rate``
        (SGD's, at its start; Muon's has the same course) and ``images_seen`` (since the first
        epoch's start).

    Raises:
        DivergedError: A loss is not finite; names the step and the learning rate.
    """
    optimiser = optimiser_of(model, parameters, name)
    schedule = Schedule(optimiser, parameters, steps=len(batches))
    average = Average(model, parameters.average)
    state = nn.ModuleDict({"model": model, "average": average})
    rows = checkpoint.restore(state, optimiser, batches.generator) if checkpoint else []
    schedule.replay(rows)
    if rows:
        logger.info("%s goes on after epoch %d of %d", name, len(rows), parameters.epochs)
    logger.log(logging.WARNING if policy.slower else logging.INFO, "%s on %s", name, policy)
    model.train()
    images, interval = batches.images, 1 if policy.device.type == "cpu" else GPU_CHECK_INTERVAL
    total = parameters.epochs * images
    seed = batches.generator.initial_seed() if batches.generator else 0
    forked = torch.random.fork_rng([] if policy.device.type == "cpu" else [policy.device])
    with policy.active(), forked, progress_bar(name, total, batches.counted) as bar:
        bar.update(len(rows) * images)
        for epoch in range(len(rows) + 1, parameters.epochs + 1):
            bar.set_description_str(f"{name} {epoch}/{parameters.epochs}")
            rate = optimiser.param_groups[0]["lr"]
            torch.manual_seed((seed + epoch) % 2**63)  # (of dropout, which some of timm's have)
            losses: list[Tensor] = []
            for batch in batches.epoch(epoch):
                losses.append(_step(model, loss_of, batch, optimiser, parameters, policy))
                if len(losses) % interval == 0 or len(losses) == len(batches):
                    _refuse_divergence(losses, interval, name, epoch, parameters)
                average.follow(model, (epoch - 1) * len(batches) + len(losses) - 1)
                schedule.after_step()
                shown = images * len(losses) // len(batches)
                bar.update((epoch - 1) * images + shown - bar.n)
            mean_loss = torch.stack(losses).mean().item()
            schedule.after_epoch(mean_loss)
            bar.set_postfix(loss=f"{mean_loss:.4f}")
            rows.append([epoch, mean_loss, rate, epoch * images])
            if checkpoint:
                last = epoch == parameters.epochs
                checkpoint.save_if_due(state, optimiser, batches.generator, rows, last=last)
    average.put_into(model)
    if not all(weight.isfinite().all() for weight in model.parameters()):
        raise DivergedError(f"{name}: the last step's weights are not finite; {_remedy(name)}")
    return pd.DataFrame(rows, columns=["epoch", "loss", "learning_rate", "images_seen"])


def _step(
    model: Model,
    loss_of: Callable[[Model, Batch], Tensor],
    batch: Batch,
    optimiser: SGD,
    parameters: TrainingParameters,
    policy: Policy,
) -> Tensor:
    """Descend, and return the loss before."""
    optimiser.zero_grad()  # (before the forward pass, which needs the memory)
    with policy.forward_precision():
        loss = loss_of(model, batch)
    loss.backward()
    if parameters.clip_gradient_values is not None:
        nn.utils.clip_grad_value_(weights_in(optimiser), parameters.clip_gradient_values)
    with policy.forward_precision():  # (for the matrix products of Muon)
        optimiser.step()
    return loss.detach()


def _refuse_divergence(
    losses: list[Tensor], interval: int, name: str, epoch: int, parameters: TrainingParameters
) -> None:
    recent = torch.stack(losses[-interval:])
    if not recent.isfinite().all():
        first = int(recent.isfinite().logical_not().nonzero()[0])
        muon = parameters.muon_learning_rate
        other = f" and {name}.muon_learning_rate={muon:g}" if muon else ""
        raise DivergedError(
            f"{name}: the loss became {recent[first].item()} at epoch {epoch}, step "
            f"{len(losses) - len(recent) + first + 1}, with {name}.learning_rate="
            f"{parameters.learning_rate:g}{other}; {_remedy(name)}"
        )


def _remedy(name: str) -> str:
    return f"lower the rate, or clip the gradients ({name}.clip_gradient_values)"
