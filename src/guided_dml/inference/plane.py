"""The plane that embeddings are drawn in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def principal_plane(
    embeddings: NDArray[Any],
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[str, str]]:
    """Return a centre, two axes and their titles.

    Args:
        embeddings: float ``[N, D]``. With D > 2 the plane is that of the first two principal
            components; with D = 1 the second axis is empty, and so is its title.

    Returns:
        float64 ``[D]``; float64 ``[D, 2]``; the titles.
    """
    dimension = embeddings.shape[1]
    if dimension <= 2:
        titles = ("dimension 1", "dimension 2" if dimension == 2 else "")
        return np.zeros(dimension), np.eye(dimension, 2), titles
    embeddings = embeddings.astype(np.float64)
    variances, vectors = np.linalg.eigh(np.cov(embeddings, rowvar=False))
    shares = variances[::-1][:2].clip(0) / (variances.sum() or 1)
    first, second = (
        f"principal component {rank} of {dimension} dimensions ({share:.0%} of the variance)"
        for rank, share in enumerate(shares, start=1)
    )
    return embeddings.mean(0), vectors[:, ::-1][:, :2], (first, second)
