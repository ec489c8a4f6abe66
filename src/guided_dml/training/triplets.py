"""The triplets that GEMINI learns from: the rule that draws them, and an epoch's batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations
from typing import NamedTuple

import torch
from torch import Tensor

from guided_dml.errors import InputError
from guided_dml.types import Tensors


def images_by_class(labels: Tensor, rows: Tensor) -> list[Tensor]:
    """Return those of the rows that are of class 0, 1 ...

    Args:
        labels: int64 ``[N]``, of all images.
        rows: int64 ``[M]``, indices into ``labels``.
    """
    own = labels[rows]
    counts = own.bincount(minlength=int(labels.max()) + 1)
    return list(rows[own.argsort(stable=True)].split(counts.tolist()))


def draw(members: Sequence[Tensor], pairs: int, size: int, source: torch.Generator) -> Tensors:
    """Draw the triplets of an epoch (paper, section 3.1).

    For a pair of classes (i, j): 2B distinct images of class i, B anchors and their B positives,
    and B distinct images of class j, the negatives. A class that has fewer is gone through again;
    an anchor and its positive are two images even then.

    Args:
        members: Indices of the images of each of the C classes, int64, two or more of each.
        pairs: P, how many of the ordered pairs of classes, up to C(C-1).
        size: B.
        source: CPU generator.

    Returns:
        ``classes`` int64 ``[P, 2]``; ``anchors``, ``positives``, ``negatives`` int64 ``[P, B]``.
    """

    def images(label: int, count: int) -> Tensor:
        some = members[label]
        places = torch.arange(count)
        places[size:] += size % len(some) == 0  # (or every anchor would be its own positive)
        return some[torch.randperm(len(some), generator=source)[places % len(some)]]

    classes = draw_pairs(len(members), pairs, source)
    same = torch.stack([images(positive, 2 * size) for positive, _ in classes.tolist()])
    other = torch.stack([images(negative, size) for _, negative in classes.tolist()])
    return {
        "classes": classes,
        "anchors": same[:, :size].contiguous(),
        "positives": same[:, size:].contiguous(),
        "negatives": other,
    }


def pairs_of(asked: int | None, classes: int) -> int:
    """Return P, how many ordered pairs of so many classes make an epoch.

    Args:
        asked: ``triplets.pairs``; None: all pairs while they are few.
        classes: C.

    Raises:
        InputError: So many leave a class out, or there are not so many.
    """
    every = classes * (classes - 1)
    if asked is None:
        return min(every, max(300, 5 * classes))
    if not classes <= asked <= every:
        raise InputError(
            f"triplets.pairs: {asked} given; {classes} classes need {classes}, each once first and "
            f"once second in a pair, to {every}, all pairs (null: as many as are useful)"
        )
    return asked


def draw_pairs(classes: int, count: int, source: torch.Generator) -> Tensor:
    """Draw distinct ordered pairs of two classes each, in shuffled order.

    With the classes on a circle in random order, a shift pairs each with the one so many places
    on: every class is once first, once second. So many shifts, all different, are taken as are
    needed, the last in part. So classes differ by at most one in how often they are first, and
    in how often they are second.

    Args:
        classes: C.
        count: P, up to C(C-1), which are all pairs.
        source: CPU generator.

    Returns:
        int64 ``[P, 2]``.
    """
    if count == classes * (classes - 1):
        pairs = torch.tensor(list(permutations(range(classes), 2)))
    else:
        circle = torch.randperm(classes, generator=source)
        shifts = 1 + torch.randperm(classes - 1, generator=source)
        place, turn = torch.arange(count) % classes, torch.arange(count) // classes
        pairs = torch.stack([circle[place], circle[(place + shifts[turn]) % classes]], dim=1)
    return pairs[torch.randperm(count, generator=source)]


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
    """The triplets, pair after pair: the stored ones every epoch, or in the first one only."""

    counted = "triplet images"

    def __init__(
        self,
        triplets: Tensors,
        device: torch.device,
        generator: torch.Generator | None = None,
        members: Sequence[Tensor] = (),
    ) -> None:
        """Prepare the epochs.

        Args:
            triplets: The stored ones, as :func:`draw` returns them.
            device: Where the images are.
            generator: CPU generator that draws as many anew for every epoch but the first one,
                and holds the state between the epochs; None: the stored ones are used in every
                epoch, as in the published code.
            members: What it draws from, as :func:`images_by_class` returns them.
        """
        self._stored, self._device, self._members = triplets, device, members
        self.images = 3 * triplets["anchors"].numel()
        self.generator = generator

    def __len__(self) -> int:
        return len(self._stored["classes"])

    def epoch(self, number: int) -> Iterator[TripletBatch]:
        """Yield the batches of an epoch."""
        triplets = self._stored
        if self.generator and number > 1:
            pairs, size = triplets["anchors"].shape
            triplets = draw(self._members, pairs, size, self.generator)
        names = ("anchors", "positives", "negatives")
        rows = torch.cat([triplets[name] for name in names], dim=1).to(self._device)
        for (first, other), some in zip(triplets["classes"].tolist(), rows, strict=True):
            yield TripletBatch(first, other, some)
