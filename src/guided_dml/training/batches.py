"""Images that live on the device as uint8, and the order in which an epoch visits them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

Batch_co = TypeVar("Batch_co", covariant=True)


class Batches(Protocol[Batch_co]):
    """What the training loop visits: iterating anew starts the next epoch."""

    @property
    def images(self) -> int:
        """Images that one epoch shows to the model."""
        ...

    @property
    def counted(self) -> str:
        """What these images are called beside the progress bar."""
        ...

    @property
    def generator(self) -> torch.Generator | None:
        """What the order of the next epochs is drawn from, if it is drawn."""
        ...

    def __len__(self) -> int:
        """Steps of an epoch."""
        ...

    def __iter__(self) -> Iterator[Batch_co]:
        """The batches of the next epoch."""
        ...


class DeviceImages:
    """uint8 images on the device; a batch is indexed and normalised there."""

    def __init__(
        self, images: Tensor, normalisation: dict[str, list[float]] | None, device: torch.device
    ) -> None:
        """Move the images.

        Args:
            images: uint8 ``[N, C, H, W]``.
            normalisation: ``mean`` and ``std`` of each channel, in grey levels of 0-255;
                None leaves the pixels as they are.
            device: Where to.
        """
        self._images = images.to(device)
        statistics = normalisation or {"mean": [0.0], "std": [1.0]}
        self._mean, self._std = (
            torch.tensor(statistics[name], device=device).view(1, -1, 1, 1)
            for name in ("mean", "std")
        )

    def __len__(self) -> int:
        return len(self._images)

    def take(self, indices: Tensor | slice) -> Tensor:
        """Return the images at ``indices`` as float32 ``[B, C, H, W]``, normalised.

        In channels-last order, as the models of :meth:`Policy.place` work best.
        """
        pixels = self._images[indices].to(memory_format=torch.channels_last, dtype=torch.float32)
        return pixels.sub_(self._mean).div_(self._std)


class RandomBatches:
    """All of ``indices``, once an epoch, in an order that the generator draws anew."""

    counted = "images"

    def __init__(self, indices: Tensor, batch_size: int, generator: torch.Generator) -> None:
        """Prepare the epochs.

        Args:
            indices: int64 ``[N]``, on the device of the images.
            batch_size: Images a batch; the last one is smaller where N does not divide.
            generator: CPU generator; it holds the state between the epochs.
        """
        self._indices, self._batch_size = indices, batch_size
        self.generator: torch.Generator | None = generator
        # Batch-norm has no statistics of a single image, so a last batch of one is left out.
        left_over = len(indices) % batch_size
        self.images = len(indices) - (left_over == 1)

    def __len__(self) -> int:
        return -(-self.images // self._batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        order = torch.randperm(len(self._indices), generator=self.generator)
        shuffled = self._indices[order.to(self._indices.device)]
        return iter(shuffled[: self.images].split(self._batch_size))


class TripletBatch(NamedTuple):
    """The triplets of one ordered class pair.

    Attributes:
        positive_class: Of anchors and positives.
        negative_class: Of the negatives.
        rows: Indices of images, int64 ``[3B]``: all anchors, then all positives, all negatives.
    """

    positive_class: int
    negative_class: int
    rows: Tensor


class TripletBatches:
    """The stored triplets, pair after pair, the same every epoch as in the published code."""

    counted = "triplet images"

    def __init__(self, triplets: dict[str, Tensor], device: torch.device) -> None:
        """Move the triplets.

        Args:
            triplets: ``classes`` int64 ``[P, 2]``; ``anchors``, ``positives`` and ``negatives``
                int64 ``[P, B]``.
            device: Where the images are.
        """
        names = ("anchors", "positives", "negatives")
        rows = torch.cat([triplets[name] for name in names], dim=1).to(device)
        pairs = zip(triplets["classes"].tolist(), rows, strict=True)
        self._batches = [TripletBatch(first, other, some) for (first, other), some in pairs]
        self.images = 3 * triplets["anchors"].numel()
        self.generator: torch.Generator | None = None

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[TripletBatch]:
        return iter(self._batches)
