"""What turns gradients into weights: SGD, its schedule, and the running average of the weights."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import LinearLR, OneCycleLR, ReduceLROnPlateau

from guided_dml.blocks import GeminiParameters, TrainingParameters
from guided_dml.errors import InputError
from guided_dml.models.layers import Convolution3x3

#: Newton and Schulz' iteration with the coefficients of Muon (Jordan et al. 2024), which lifts
#: small singular values fast and leaves all of them near one; three steps do.
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 3

#: Steps after which the average of the weights keeps half of itself a step, if it may keep so much:
#: as usual (TensorFlow's ``num_updates``), so that a short training does not end in early weights.
AVERAGE_WARM_UP = 10


class Muon(SGD):
    """SGD that takes steps of equal length in all directions of a convolution's weights.

    A loss in few dimensions moves the weights in few directions (in the plane: two a pixel).
    Muon (Jordan et al. 2024) replaces their momentum by the nearest orthogonal matrix. Groups with
    the key ``muon``, that momentum, are updated so; their filters are kept at length one on
    average, which changes nothing where a batch-norm follows.
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Take a step."""
        for group in self.param_groups:
            weights = group["params"] if "muon" in group else []
            for weight in (weight for weight in weights if weight.grad is not None):
                gradient, state = weight.grad, self.state[weight]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(weight)
                momentum = state["momentum_buffer"]
                momentum.mul_(group["muon"]).add_(gradient)
                ahead = gradient.add(momentum, alpha=group["muon"]) if group["ahead"] else momentum
                weight.mul_(len(weight) ** 0.5 / weight.norm())
                gradient.copy_(orthogonal(ahead.flatten(1)).view_as(gradient))
        super().step(closure)


def orthogonal(matrix: Tensor) -> Tensor:
    """Return roughly ``U V^T`` of a matrix ``U S V^T``: all singular values between 0.5 and 1.5.

    Args:
        matrix: float ``[M, N]``; fastest where M is at most N.
    """
    a, b, c = NEWTON_SCHULZ
    found: Tensor = matrix / (matrix.norm() + 1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = found @ found.T
        found = a * found + (b * gram + c * gram @ gram) @ found
    return found


def optimiser_of(model: nn.Module, parameters: TrainingParameters, name: str) -> SGD:
    """Return the optimiser of a training.

    Args:
        model: On its device.
        parameters: Its rates, momentum and weight decay.
        name: The block that ``parameters`` is, for the message.

    Raises:
        InputError: Muon is asked for, and there is nothing that it could train.
    """
    convolutions: list[Tensor] = []
    if parameters.muon_learning_rate is not None:
        convolutions = [part.weight for part in model.modules() if isinstance(part, Convolution3x3)]
        if not convolutions:
            raise InputError(
                f"{name}.muon_learning_rate: {parameters.muon_learning_rate:g} given, but Muon "
                "trains 3x3 convolutions of airbench, small_cnn and torchvision's ResNets, and "
                f"this network is none; give {name}.muon_learning_rate=null"
            )
    known = {id(weight) for weight in convolutions}
    others = [w for w in model.parameters() if w.requires_grad and id(w) not in known]
    groups: list[dict[str, Any]] = [{"params": others}]
    if not parameters.decay_norms_and_biases:
        groups = [
            {"params": [weight for weight in others if weight.ndim > 1]},
            {"params": [weight for weight in others if weight.ndim <= 1], "weight_decay": 0.0},
        ]
    if convolutions:
        own = {
            "lr": parameters.muon_learning_rate,
            "muon": parameters.momentum,
            "ahead": parameters.nesterov,
        }
        plain = {"momentum": 0.0, "weight_decay": 0.0, "nesterov": False}
        groups.append({"params": convolutions} | own | plain)
    return (Muon if convolutions else SGD)(
        [group for group in groups if group["params"]],
        lr=parameters.learning_rate,
        momentum=parameters.momentum,
        weight_decay=parameters.weight_decay,
        nesterov=parameters.nesterov,
        # (fused, it wants a gradient of every weight at every step; GEMINI's has two streams')
        fused=others[0].device.type == "cuda" and not isinstance(parameters, GeminiParameters),
    )


def weights_in(optimiser: SGD) -> list[nn.Parameter]:
    """Return what an optimiser trains, always in the same order."""
    return [weight for group in optimiser.param_groups for weight in group["params"]]


class Average(nn.ParameterList):
    """The running average of a model's weights, where one is asked for.

    (PyTorch's ``AveragedModel`` makes the host wait for a GPU at each step.)
    """

    def __init__(self, model: nn.Module, kept: float) -> None:
        """Begin with the model's weights.

        Args:
            model: On its device.
            kept: How much of itself the average keeps a step, at most; 0: there is none.
        """
        weights = model.parameters() if kept else ()
        super().__init__(weight.detach().clone() for weight in weights)
        self._kept = kept

    @torch.no_grad()
    def follow(self, model: nn.Module, before: int) -> None:
        """Move to the model's weights, after so many steps before this one."""
        if self._kept:
            kept = min(self._kept, before / (before + AVERAGE_WARM_UP))
            torch._foreach_lerp_([*self], [*model.parameters()], 1 - kept)

    @torch.no_grad()
    def put_into(self, model: nn.Module) -> None:
        """Let the model have the average for its weights."""
        if self._kept:
            torch._foreach_copy_([*model.parameters()], [*self])


class Schedule:
    """The learning rates: a rule for each step, or for each epoch and its loss."""

    def __init__(self, optimiser: SGD, parameters: TrainingParameters, steps: int) -> None:
        """Set the rates of the first step.

        Args:
            optimiser: Whose rates.
            parameters: Which rule.
            steps: Of an epoch.
        """
        self._steps = steps
        self.after_step: Callable[[], Any] = lambda: None
        self.after_epoch: Callable[[float], Any] = lambda _: None
        total = parameters.epochs * steps
        if parameters.schedule == "linear":
            self.after_step = LinearLR(optimiser, 1.0, 0.0, total_iters=total).step
        elif parameters.schedule == "one_cycle":
            self.after_step = OneCycleLR(
                optimiser,
                max_lr=[group["lr"] for group in optimiser.param_groups],
                total_steps=total + 1,
                cycle_momentum=False,
            ).step
        elif parameters.schedule == "plateau":
            self.after_epoch = ReduceLROnPlateau(
                optimiser, factor=parameters.plateau_factor, patience=parameters.plateau_patience
            ).step

    def replay(self, rows: list[Any]) -> None:
        """Bring the rates to where they were after the epochs of ``rows``."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")
            for _, loss, *_ in rows:
                for _ in range(self._steps):
                    self.after_step()
                self.after_epoch(loss)
