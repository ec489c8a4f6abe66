"""The one training loop: GEMINI, the student and every baseline go through it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pandas as pd
import torch
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau

from guided_dml.errors import InputError
from guided_dml.parameters import TrainingParameters
from guided_dml.training.batches import Batches
from guided_dml.training.policy import Policy
from guided_dml.training.progress import progress_bar
from guided_dml.types import History

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
) -> History:
    """Train ``model`` in place with SGD.

    Args:
        model: The network, on the policy's device.
        loss_of: The objective: of the model and a batch, a scalar, the batch's mean loss.
        batches: What an epoch visits.
        parameters: Epochs, optimiser and schedule.
        policy: Precision and determinism.
        name: The block that ``parameters`` is (``gemini``, ``student``), for the messages.

    Returns:
        A row an epoch: ``epoch`` (from 1), ``loss`` (mean over its steps), ``learning_rate``
        (at its start) and ``images_seen`` (since the first epoch's start).

    Raises:
        InputError: A loss is not finite; names the step and the learning rate.
    """
    optimiser = SGD(
        model.parameters(),
        lr=parameters.learning_rate,
        momentum=parameters.momentum,
        weight_decay=parameters.weight_decay,
    )
    after_step, after_epoch = _schedule(optimiser, parameters, steps=len(batches))
    look_every = 1 if policy.device.type == "cpu" else GPU_CHECK_INTERVAL
    rows = []
    model.train()
    with policy.active(), progress_bar(name, parameters.epochs * batches.images) as bar:
        for epoch in range(1, parameters.epochs + 1):
            bar.set_description(f"{name} epoch {epoch}/{parameters.epochs}")
            rate = optimiser.param_groups[0]["lr"]
            losses: list[Tensor] = []
            for step, batch in enumerate(batches, start=1):
                with policy.forward_precision():
                    loss = loss_of(model, batch)
                losses.append(loss.detach())
                if step % look_every == 0 or step == len(batches):
                    _refuse_divergence(losses, name, epoch, step, parameters.learning_rate)
                optimiser.zero_grad()
                loss.backward()
                if parameters.clip_gradient_values is not None:
                    nn.utils.clip_grad_value_(model.parameters(), parameters.clip_gradient_values)
                optimiser.step()
                after_step()
                bar.update(batches.images / len(batches))
            mean_loss = torch.stack(losses).mean().item()
            after_epoch(mean_loss)
            bar.set_postfix(loss=f"{mean_loss:.4f}")
            rows.append(
                {
                    "epoch": epoch,
                    "loss": mean_loss,
                    "learning_rate": rate,
                    "images_seen": epoch * batches.images,
                }
            )
    return pd.DataFrame(rows)


def _schedule(
    optimiser: SGD, parameters: TrainingParameters, steps: int
) -> tuple[Callable[[], None], Callable[[float], None]]:
    """Return what to call after every step, and after every epoch with its loss."""
    if parameters.schedule == "one_cycle":
        one_cycle = OneCycleLR(
            optimiser,
            max_lr=parameters.learning_rate,
            total_steps=parameters.epochs * steps + 1,
            cycle_momentum=False,
        )
        return one_cycle.step, lambda _: None
    if parameters.schedule == "plateau":
        plateau = ReduceLROnPlateau(
            optimiser, factor=parameters.plateau_factor, patience=parameters.plateau_patience
        )
        return lambda: None, plateau.step
    return lambda: None, lambda _: None


def _refuse_divergence(
    losses: list[Tensor], name: str, epoch: int, step: int, learning_rate: float
) -> None:
    finite = torch.stack(losses[-GPU_CHECK_INTERVAL:]).isfinite()
    if not finite.all():
        first = step - len(finite) + 1 + int(finite.logical_not().nonzero()[0])
        raise InputError(
            f"{name}: the loss became {losses[first - 1].item()} at epoch {epoch}, step {first}, "
            f"with {name}.learning_rate={learning_rate:g}; lower the rate, or clip the gradients "
            f"({name}.clip_gradient_values)"
        )
