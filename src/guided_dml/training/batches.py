"""Images that live on the device as uint8, and in which order and views an epoch sees them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

Batch_co = TypeVar("Batch_co", covariant=True)


class Batches(Protocol[Batch_co]):
    """What the training loop visits."""

    images: int
    """Images that one epoch shows to the model."""
    counted: str
    """What these images are called beside the progress bar."""
    generator: torch.Generator | None
    """What the order of the next epochs is drawn from, if it is drawn."""

    def __len__(self) -> int:
        """Steps of an epoch."""

    def epoch(self, number: int) -> Iterable[Batch_co]:
        """The batches of an epoch, which count from 1."""


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

    @property
    def area(self) -> int:
        """Pixels of an image."""
        return self._images.shape[2] * self._images.shape[3]

    def take(self, indices: Tensor | slice, view: View | None = None) -> Tensor:
        """Return the images at ``indices`` as float32 ``[B, C, H, W]``, normalised.

        In channels-last order, as the models of :meth:`Policy.place` work best.

        Args:
            indices: int64 ``[B]``, or a slice.
            view: How each image is moved and mirrored; None: as it is.
        """
        pixels = self._images[indices]
        if view is not None:
            rows, columns = (
                _reflected(shift, length)
                for shift, length in zip(view.shifts.T, pixels.shape[2:], strict=True)
            )
            columns = torch.where(view.mirrored[:, None], columns.flip(1), columns)
            images = torch.arange(len(pixels), device=pixels.device)[:, None, None]
            # (this index leaves the channels last, as they are wanted)
            pixels = pixels[images, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
        pixels = pixels.to(memory_format=torch.channels_last, dtype=torch.float32)
        return pixels.sub_(self._mean).div_(self._std)


class View(NamedTuple):
    """How the images of a batch are looked at.

    Attributes:
        mirrored: Left to right, bool ``[B]``.
        shifts: In pixels, down and to the right, int64 ``[B, 2]``.
    """

    mirrored: Tensor
    shifts: Tensor


class ImageBatch(NamedTuple):
    """Images of one step.

    Attributes:
        rows: Their indices, int64 ``[B]``.
        view: How they are looked at; None: as they are.
    """

    rows: Tensor
    view: View | None = None


class RandomBatches:
    """All of ``indices``, once an epoch, in an order that the generator draws anew."""

    counted = "images"

    def __init__(
        self,
        indices: Tensor,
        batch_size: int,
        generator: torch.Generator,
        *,
        flip: Literal["none", "random", "alternating"] = "none",
        shift: int = 0,
    ) -> None:
        """Prepare the epochs.

        Args:
            indices: int64 ``[N]``, on the device of the images.
            batch_size: Images a batch; the last one is smaller where N does not divide.
            generator: CPU generator; it holds the state between the epochs.
            flip: ``random`` mirrors every image with probability one half, each time anew;
                ``alternating`` those of the first epoch that a draw decides on, in the second
                the others, and so on (Jordan 2024): so two epochs show both sides of all.
            shift: By how many pixels at most an image moves, each way.
        """
        self._indices, self._batch_size = indices, batch_size
        self._flip, self._shift = flip, shift
        self.generator: torch.Generator | None = generator
        # Batch-norm has no statistics of a single image, so a last batch of one is left out.
        left_over = len(indices) % batch_size
        self.images = len(indices) - (left_over == 1)
        self._mirrored_first = self._coins() if flip == "alternating" else None

    def __len__(self) -> int:
        return -(-self.images // self._batch_size)

    def epoch(self, number: int) -> Iterator[ImageBatch]:
        """Yield the batches of an epoch."""
        count, device = len(self._indices), self._indices.device
        order = torch.randperm(count, generator=self.generator)
        rows = self._indices[order.to(device)][: self.images].split(self._batch_size)
        if self._flip == "none" and not self._shift:
            yield from map(ImageBatch, rows)
            return
        mirrored = self._coins() if self._flip == "random" else torch.zeros(count, dtype=torch.bool)
        if self._mirrored_first is not None:
            mirrored = (self._mirrored_first ^ (number % 2 == 0))[order]
        size = (count, 2)
        shifts = torch.randint(-self._shift, self._shift + 1, size, generator=self.generator)
        parts = (some.to(device).split(self._batch_size) for some in (mirrored, shifts))
        for some, *view in zip(rows, *parts, strict=False):
            yield ImageBatch(some, View(*view))

    def _coins(self) -> Tensor:
        return torch.rand(len(self._indices), generator=self.generator) < 0.5


def _reflected(shifts: Tensor, length: int) -> Tensor:
    """Return for each shift where the pixels of a row come from, int64 ``[B, length]``."""
    places = torch.arange(length, device=shifts.device) - shifts[:, None]
    return length - 1 - (length - 1 - places.abs()).abs()
