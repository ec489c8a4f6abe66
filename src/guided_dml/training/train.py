"""Training the student's network: the same way for every method."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from guided_dml.blocks import ComputeParameters, Method, StudentParameters, Task
from guided_dml.errors import DivergedError, InputError
from guided_dml.losses import spread
from guided_dml.models.airbench import Airbench
from guided_dml.models.backbones import build_embedder
from guided_dml.models.layers import ExactLinear
from guided_dml.models.weights import weights_of
from guided_dml.seeding import generator
from guided_dml.training.batches import DeviceImages, ImageBatch, RandomBatches
from guided_dml.training.checkpoints import CheckpointStore
from guided_dml.training.fit import fit
from guided_dml.training.optimiser import optimiser_of
from guided_dml.training.policy import Policy
from guided_dml.types import History, Tensors

#: Images whose patches the whitening layer is fitted to, of 32x32 pixels; of larger ones fewer.
WHITENING_SAMPLE = 2000

#: Targets as close as this to their mean, in parts of the largest value, are apart by rounding.
SAME_POINT = 1e-6


def train_embedder(
    method: Method,
    task: Task,
    answers: Tensor,
    *,
    images: Tensor,
    rows: Tensor,
    normalisation: dict[str, list[float]] | None,
    compute: ComputeParameters,
    checkpoints: CheckpointStore | None,
) -> tuple[Tensors, History, Tensors]:
    """Train a network to embed images as a method's objective wants it.

    With the same seed every method starts from the same weights and sees the same batches.

    Args:
        method: The objective, and its settings.
        task: Architecture and optimiser, the number of classes, the run's seed.
        answers: ``[N, ...]``, what the objective has to know of each image: labels or targets.
        images: uint8 ``[N, C, H, W]``.
        rows: int64 ``[M]``, the images to learn from.
        normalisation: Mean and standard deviation of each channel; None: train on 0-255 pixels.
        compute: Where to compute.
        checkpoints: Where a killed training goes on from.

    Returns:
        The network's weights by name, a row of history an epoch, and the objective's own weights.

    Raises:
        InputError: ``student.target_scale`` cannot be reached, or ``student.shift`` moves images
            out of themselves.
    """
    student, seed = task.student, task.seed
    _check_shift(student.shift, *images.shape[2:])
    policy = Policy.of(compute, student.backbone)
    scale = _scale(answers[rows], method, student.target_scale)
    width = student.gaussian_width * scale  # (it is in units of the targets as they were)
    scaled = student.model_copy(update={"gaussian_width": width})
    objective = method.objective(task._replace(student=scaled))
    pixels = DeviceImages(images, normalisation, policy.device)
    network = build_embedder(
        seed, images.shape[1:], student, unit_length=method.normalise_embeddings
    )
    fit_whitening(network, pixels, rows.to(policy.device))
    on_device = (answers if scale == 1 else answers * scale).to(policy.device)
    trained = {"objective": objective} if isinstance(objective, nn.Module) else {}
    model = policy.place(nn.ModuleDict({"network": network} | trained))
    embedded = policy.quickened(network)

    def loss_of(_: Any, batch: ImageBatch) -> Tensor:
        embeddings = embedded(pixels.take(*batch))
        # Distances of bfloat16 would be too coarse to tell close embeddings apart.
        with torch.autocast(policy.device.type, enabled=False):
            return objective(embeddings.float(), on_device[batch.rows])

    batches = RandomBatches(
        rows.to(policy.device),
        student.batch_size,
        generator(seed, "student batches"),
        flip=student.flip,
        shift=student.shift,
    )
    given = weights_of(network) if student.pretrained else None
    inputs = (method, student, policy, seed, normalisation or "raw", rows, answers, images, given)
    checkpoint = checkpoints.of(method.name, *inputs) if checkpoints else None
    history = fit(model, loss_of, batches, student, policy, "student", checkpoint)
    _undo_scale(network, scale)
    head = weights_of(trained["objective"]) if trained else {}
    return weights_of(network), history.assign(seed=seed), head


def check_student(
    image_shape: Sequence[int], student: StudentParameters, methods: Iterable[Method] = ()
) -> None:
    """Refuse a student that cannot learn from images of a shape, before its teacher is trained.

    ``methods`` are those that are going to train it.

    Raises:
        InputError: The network cannot be built, Muon finds nothing in it to train,
            ``student.shift`` is too large, or ``student.target_scale`` cannot be reached.
    """
    _check_shift(student.shift, *image_shape[1:])
    optimiser_of(build_embedder(0, image_shape, student), student, "student")
    labels = torch.zeros(1, dtype=torch.int64)
    for method in methods:
        answers = method.answers(Task(student, classes=2, seed=0), labels)
        if method.follows_teacher or answers.is_floating_point():
            _check_scale(method, student.target_scale)


def _check_shift(shift: int, height: int, width: int) -> None:
    if shift >= min(height, width):
        raise InputError(
            f"student.shift: {shift} given; images of {height}x{width} pixels can be moved by "
            f"{min(height, width) - 1} at most"
        )


def fit_whitening(network: nn.Module, pixels: DeviceImages, rows: Tensor) -> None:
    """Fit the first layer of a network that has it so to an evenly spaced sample."""
    count = min(WHITENING_SAMPLE, WHITENING_SAMPLE * 32 * 32 // pixels.area)
    for part in network.modules():
        if isinstance(part, Airbench):
            part.fit_whitening(pixels.take(rows[:: -(-len(rows) // max(1, count))]).cpu())


def _scale(answers: Tensor, method: Method, wanted: float | None) -> float:
    """Return what brings targets to the wanted scale; 1 where labels are learnt."""
    if wanted is None or not answers.is_floating_point():
        return 1.0
    _check_scale(method, wanted)
    found = spread(answers).item()
    if found <= SAME_POINT * answers.abs().max():
        raise DivergedError(
            "student.target_scale: all targets are the same point; train GEMINI anew"
        )
    return wanted / found


def _check_scale(method: Method, wanted: float | None) -> None:
    if wanted is not None and method.normalise_embeddings:
        raise InputError(
            f"student.target_scale: {wanted:g} given, but {method.name}.normalise_embeddings "
            "allows no scale; give student.target_scale=null, or "
            f"{method.name}.normalise_embeddings=false"
        )


def _undo_scale(network: nn.Module, scale: float) -> None:
    """Let the network's last layer embed on the scale of the targets as they were."""
    *_, last = (part for part in network.modules() if isinstance(part, ExactLinear))
    with torch.no_grad():
        last.weight.div_(scale)
        last.bias.div_(scale)
