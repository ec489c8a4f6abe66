"""Drawing triplets."""

from __future__ import annotations

import logging

from guided_dml.blocks import TripletParameters
from guided_dml.errors import InputError
from guided_dml.types import Tensors

logger = logging.getLogger(__name__)

#: Classes that a warning names; of more it says how many there are.
NAMED = 5


def draw_triplets(
    train_images: Tensors,
    split: Tensors,
    classes: list[str],
    triplets: TripletParameters,
    seed: int,
) -> Tensors:
    """Draw B triplets for each of P ordered pairs of classes (paper, section 3.1).

    Args:
        train_images: The training set.
        split: ``train``: the images to draw from.
        classes: The class names.
        triplets: B, P, and what becomes of classes with fewer than 2B images.
        seed: The run's seed.

    Returns:
        ``classes`` int64 ``[P, 2]`` in shuffled order; ``anchors``, ``positives`` and
        ``negatives`` int64 ``[P, B]``, indices into the training set.

    Raises:
        InputError: A class has fewer than two images to draw from, or P leaves one out.
    """
    from guided_dml.seeding import generator
    from guided_dml.training.triplets import draw, images_by_class, pairs_of

    members = images_by_class(train_images["labels"], split["train"])
    counts = list(map(len, members))
    if min(counts) < 2:
        raise InputError("a class has fewer than two training images: no triplet can be drawn")
    size = triplets.batch_size
    if not triplets.repeat and size > min(counts) // 2:
        size = min(counts) // 2
        logger.warning(
            "triplets.batch_size: %d given, but class %r has %d training images: it is %d for all "
            "classes (with triplets.repeat=true a small class repeats some)",
            triplets.batch_size,
            classes[counts.index(min(counts))],
            min(counts),
            size,
        )
    short = [name for name, count in zip(classes, counts, strict=True) if count < 2 * size]
    if short:
        more = f" and {len(short) - NAMED} more" if len(short) > NAMED else ""
        logger.warning(
            "fewer than the %d training images that a batch takes of a class, so it repeats some: "
            "%s%s (a lower triplets.batch_size repeats none)",
            2 * size,
            ", ".join(map(repr, short[:NAMED])),
            more,
        )
    pairs = pairs_of(triplets.pairs, len(members))
    return draw(members, pairs, size, generator(seed, "triplets"))
