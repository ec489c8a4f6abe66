"""Training the master."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guided_dml.blocks import ComputeParameters, GeminiParameters
from guided_dml.types import Checkpoints, History, Tensors

if TYPE_CHECKING:
    from torch import Tensor

    from guided_dml.training.triplets import TripletBatch


def train_gemini(
    train_images: Tensors,
    normalisation: dict[str, list[float]],
    triplets: Tensors,
    split: Tensors,
    gemini: GeminiParameters,
    embedding_dimension: int,
    raw_pixel_training: bool,
    compute: ComputeParameters,
    seed: int,
    checkpoints: Checkpoints,
) -> tuple[Tensors, History]:
    """Train GEMINI on the triplets with the cost of Eq. 5.

    Args:
        train_images: The training set.
        normalisation: Its mean and standard deviation.
        triplets: Indices into it.
        split: ``train``: the images that fresh triplets are drawn from.
        gemini: Architecture and optimiser.
        embedding_dimension: D.
        raw_pixel_training: Whether to train on 0-255 pixels.
        compute: Where to compute.
        seed: The run's seed.
        checkpoints: Where a killed training goes on from.

    Returns:
        The weights by name, and a row of history an epoch.
    """
    import torch

    from guided_dml.losses import gemini_loss
    from guided_dml.models.gemini import Gemini
    from guided_dml.models.weights import weights_of
    from guided_dml.seeding import generator
    from guided_dml.training.batches import DeviceImages
    from guided_dml.training.fit import fit
    from guided_dml.training.policy import Policy
    from guided_dml.training.triplets import TripletBatches, images_by_class

    policy = Policy.of(compute)
    pixels, labels = train_images["images"], train_images["labels"]
    images = DeviceImages(pixels, None if raw_pixel_training else normalisation, policy.device)
    model = Gemini(seed, pixels.shape[1:], int(labels.max()) + 1, gemini, embedding_dimension)

    def loss_of(model: Gemini, batch: TripletBatch) -> Tensor:
        same, other = images.take(batch.rows).tensor_split([2 * len(batch.rows) // 3])
        local = model.local(same, batch.positive_class)
        local_negatives = model.local(other, batch.negative_class)
        z = model.head(torch.cat([local, local_negatives])).chunk(3)
        return gemini_loss(*local.float().chunk(2), *z, beta=gemini.beta, margin=gemini.margin)

    members = images_by_class(labels, split["train"])
    source = generator(seed, "fresh triplets") if gemini.fresh_triplets else None
    batches = TripletBatches(triplets, policy.device, source, members)
    settings = (gemini, embedding_dimension, raw_pixel_training, policy, seed)
    inputs = ("gemini", *settings, normalisation, triplets, split["train"], train_images)
    checkpoint = checkpoints.of(*inputs) if checkpoints else None
    history = fit(policy.place(model), loss_of, batches, gemini, policy, "gemini", checkpoint)
    return weights_of(model), history.assign(seed=seed)
