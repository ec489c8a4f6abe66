"""Drawing triplets."""

from __future__ import annotations

from itertools import permutations

from guided_dml.blocks import TripletParameters
from guided_dml.errors import InputError
from guided_dml.types import Tensors


def draw_triplets(
    train_images: Tensors, split: Tensors, triplets: TripletParameters, seed: int
) -> Tensors:
    """Draw B triplets for each ordered pair of classes (paper, section 3.1).

    For a pair (i, j): 2B distinct images of class i, B anchors and their B positives, and B
    distinct images of class j, the negatives. B is capped at half the smallest class.

    Args:
        train_images: The training set.
        split: ``train``: the images to draw from.
        triplets: B.
        seed: The run's seed.

    Returns:
        ``classes`` int64 ``[P, 2]``, the P = C(C-1) pairs in shuffled order; ``anchors``,
        ``positives`` and ``negatives`` int64 ``[P, B]``, indices into the training set.

    Raises:
        InputError: A class has fewer than two images to draw from.
    """
    import torch

    from guided_dml.seeding import generator

    source = generator(seed, "triplets")
    labels = train_images["labels"][split["train"]]
    members = [split["train"][labels == label] for label in range(int(labels.max()) + 1)]
    size = min(triplets.batch_size, min(map(len, members)) // 2)
    if size < 1:
        raise InputError("a class has fewer than two training images: no triplet can be drawn")

    def draw(label: int, count: int) -> torch.Tensor:
        rows = torch.randperm(len(members[label]), generator=source)[:count]
        return members[label][rows]

    pairs = torch.tensor(list(permutations(range(len(members)), 2)))
    pairs = pairs[torch.randperm(len(pairs), generator=source)]
    same = torch.stack([draw(positive, 2 * size) for positive, _ in pairs.tolist()])
    other = torch.stack([draw(negative, size) for _, negative in pairs.tolist()])
    return {
        "classes": pairs,
        "anchors": same[:, :size].contiguous(),
        "positives": same[:, size:].contiguous(),
        "negatives": other,
    }
