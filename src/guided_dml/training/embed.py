"""Images in, embeddings out, in batches on the device.

Always in float32: in bfloat16 close images would fall on the same point of a coarse grid.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from guided_dml.models.gemini import Gemini
from guided_dml.progress import progress_bar
from guided_dml.training.batches import DeviceImages
from guided_dml.training.policy import Policy

#: Pixels of a batch on a GPU, at least, those of 1024 images of 32x32: fewer leave it idle.
GPU_PIXELS = 1024 * 32 * 32

#: Images of one class that go through its stream at once: as many as a CPU's cache holds.
CLASS_BATCH = {"cpu": 128, "cuda": 1024}


def embed(
    model: nn.Module,
    images: DeviceImages,
    policy: Policy,
    *,
    batch_size: int,
    batch_statistics: bool = False,
    description: str = "embedding",
) -> Tensor:
    """Return the embeddings of all images.

    Args:
        model: From float ``[B, C, H, W]`` to float ``[B, D]``, on the policy's device.
        images: N images.
        policy: Precision and determinism.
        batch_size: Images a batch. Without effect on the result unless ``batch_statistics``.
        batch_statistics: Use batch-norm in training mode on n/30 consecutive images a batch, as
            the published code does: the images then influence each other's embeddings.
            The model's running statistics change.
        description: Says beside the progress bar what is embedded.

    Returns:
        float32 ``[N, D]`` on the CPU.
    """
    model.eval()
    for layer in model.modules():
        if isinstance(layer, _BatchNorm):  # (not dropout, which some of timm's have)
            layer.train(batch_statistics and len(images) > 1)
    size = batch_size
    if policy.device.type != "cpu":  # (large images stay as few as asked for: memory ends)
        size = max(batch_size, GPU_PIXELS // images.area)
    if batch_statistics:
        size = max(2, len(images) // 30)
    starts = list(range(0, len(images), size)) or [0]  # (of no images: they have D as well)
    if batch_statistics and len(images) % size == 1 and len(starts) > 1:
        starts.pop()  # (a single image has no batch statistics: it joins the batch before)
    embeddings = []
    with policy.active(), torch.no_grad(), progress_bar(description, len(images)) as bar:
        for start, stop in zip(starts, [*starts[1:], len(images)], strict=True):
            batch = images.take(slice(start, stop))
            embeddings.append(model(batch))
            bar.update(len(batch))
        return torch.cat(embeddings).cpu()


def embed_by_class(
    gemini: Gemini, images: DeviceImages, labels: Tensor, indices: Tensor, policy: Policy
) -> Tensor:
    """Return the teacher embeddings Z (paper, Eq. 6): each image through its class's stream.

    Args:
        gemini: The frozen master, on the policy's device.
        images: The training images.
        labels: int64 ``[N]``, the class of every one of ``images``.
        indices: int64 ``[M]``, the images to embed.
        policy: Precision and determinism.

    Returns:
        float32 ``[M, D]`` on the CPU, in the order of ``indices``.
    """
    gemini.eval()
    own, parts, size = labels[indices], [], CLASS_BATCH[policy.device.type]
    one_shape = policy.device.type == "cuda"  # (cuDNN looks for what is fastest, shape by shape)
    with (
        policy.active(),
        torch.no_grad(),
        progress_bar("teacher embeddings", len(indices)) as bar,
    ):
        for label in own.unique().tolist():
            for rows in indices[own == label].split(size):
                filled = torch.cat([rows, rows[:1].expand((size - len(rows)) * one_shape)])
                found = gemini(images.take(filled.to(policy.device)), label)
                parts.append(found[: len(rows)])
                bar.update(len(rows))
        return torch.cat(parts).cpu()[own.argsort(stable=True).argsort()]
