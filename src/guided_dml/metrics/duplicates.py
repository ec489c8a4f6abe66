"""Images that are the same, or nearly, told by their pixels.

An absolute distance would call any two dark or empty images near. So near is relative: much closer
than an image's other neighbours are (a ratio test, as Lowe 2004 has for keypoints).
"""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d

from guided_dml.metrics.neighbours import nearest
from guided_dml.types import Tensors

Pairs = NDArray[np.int64]

#: Pixels; larger images are compared in a smaller copy, whose pixels are means.
LARGEST_SIDE = 32

#: In parts of an image's contrast: so far its k-th neighbour is taken to be at least. Else
#: more than k images that are nearly the same would hide each other. (So many may still be found
#: as several groups, since each is held against its k nearest only.)
CONTRAST = 0.2

#: Images that are looked at together.
CHUNK = 512


def shrunk(images: Tensor) -> Tensor:
    """Return images as they are compared, uint8 ``[N, D]``.

    Args:
        images: uint8 ``[N, C, H, W]``.
    """
    step = -(-max(images.shape[2:]) // LARGEST_SIDE)
    if step == 1:
        return images.flatten(1)
    parts = (avg_pool2d(part.float(), step, ceil_mode=True) for part in images.split(CHUNK))
    return torch.cat([part.round().to(torch.uint8).flatten(1) for part in parts])


def near_pairs(points: Tensor, k: int, near: float) -> tuple[Pairs, NDArray[np.float64]]:
    """Return the pairs of points that are nearly the same.

    Two are if their distance is less than ``near`` times that of either to its k-th neighbour; and
    this neighbour counts as no nearer than a part of the point's own contrast (``CONTRAST``).

    Args:
        points: uint8 ``[N, D]``, on the device to search on.
        k: Of the neighbour that others are held against; no pair of more distant ones is looked at.
        near: From 0, none, to below 1.

    Returns:
        int64 ``[P, 2]``, each pair once or in both orders, and their distances, float64 ``[P]``:
        root mean squares of the differences in grey levels.
    """
    found = nearest(points, points, k + 1).cpu().numpy()  # (with itself)
    pixels = points.cpu().numpy()
    distances, contrast = np.empty(found.shape), np.empty(len(found))
    for start in range(0, len(found), CHUNK):
        at = slice(start, start + CHUNK)
        differences = pixels[at, None].astype(np.float32) - pixels[found[at]]
        distances[at] = np.sqrt(np.square(differences).mean(2, dtype=np.float64))
        contrast[at] = pixels[at].std(1)
    scale = np.maximum(distances[:, -1], CONTRAST * contrast)
    limits = near * np.minimum(scale[:, None], scale[found])
    first, place = np.nonzero(distances < limits)
    pairs = np.column_stack([first, found[first, place]])
    others = pairs[:, 0] != pairs[:, 1]
    return pairs[others], distances[first, place][others]


def find_duplicates(images: list[Tensor], k: int, near: float, device: torch.device) -> Tensors:
    """Group images that are the same, or nearly.

    Args:
        images: Sets of them, uint8 ``[N, C, H, W]`` each; they are numbered through.
        k: As :func:`near_pairs` has it, among images that differ.
        near: As :func:`near_pairs` has it.
        device: Where to search.

    Returns:
        Of each image ``group`` int64 ``[N]``, -1 where it stands alone; ``exact`` bool ``[N]``,
        whether another has the same pixels; ``closest`` int64 ``[N]``, the nearest other image of
        its group, and ``distance`` float64 ``[N]``, how far that is in grey levels, or -1.
    """
    hashes = [sha256(image.numpy().tobytes()).hexdigest() for part in images for image in part]
    _, first, same, counts = np.unique(
        hashes, return_index=True, return_inverse=True, return_counts=True
    )
    points = torch.cat([shrunk(part) for part in images])[torch.from_numpy(first)]
    pairs, distances = near_pairs(points.to(device), k, near)
    copies = np.flatnonzero(first[same] != np.arange(len(same)))
    links = np.concatenate([first[pairs], np.column_stack([copies, first[same[copies]]])])
    distances = np.concatenate([distances, np.zeros(len(copies))])
    closest, apart = _closest(links, distances, len(same))
    found = {
        "group": _groups(links, len(same)),
        "exact": counts[same] > 1,
        "closest": closest,
        "distance": apart,
    }
    return {name: torch.from_numpy(values) for name, values in found.items()}


def _groups(links: Pairs, count: int) -> NDArray[np.int64]:
    """Return the number of each image's group, int64 ``[count]``; -1 where it has no link."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(links)), links.T), shape=(count, count))
    _, parts = connected_components(graph, directed=False)
    alone = np.setdiff1d(np.arange(count), links)
    parts[alone] = -1
    group: NDArray[np.int64] = np.unique(parts, return_inverse=True)[1] - bool(len(alone))
    return group


def _closest(
    links: Pairs, distances: NDArray[np.float64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return for each image the nearest that it is linked with, and how far that is; else -1."""
    both = np.concatenate([links, links[:, ::-1]])
    twice = np.concatenate([distances, distances])
    order = np.lexsort((both[:, 1], twice, both[:, 0]))
    linked, first = np.unique(both[order, 0], return_index=True)
    closest, apart = np.full(count, -1), np.full(count, -1.0)
    closest[linked], apart[linked] = both[order[first], 1], twice[order[first]]
    return closest, apart
