"""How well a threshold on the distance of two images tells whether they are of one class."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from guided_dml.inference.calibration import verification
from guided_dml.types import Tensors

#: Query-reference pairs that are looked at, at most.
PAIRS = 1_000_000

#: Of the pairs of two classes, the share that a threshold lets through.
FALSE_MATCH_RATE = 0.01


class Pairs(NamedTuple):
    """Pairs of a query and a reference.

    Attributes:
        distances: float32 ``[Q, M]``, L2.
        same: bool ``[Q, M]``, whether both are of one class.
    """

    distances: NDArray[np.float32]
    same: NDArray[np.bool_]

    @classmethod
    def of(cls, query: Tensors, reference: Tensors) -> Pairs:
        """Pair all queries with all references, or with an evenly spaced part of each class.

        Args:
            query: ``embeddings`` ``[Q, D]`` and ``labels`` int64 ``[Q]``.
            reference: The same of N references.
        """
        from scipy.spatial.distance import cdist

        labels = reference["labels"].cpu().numpy()
        step = -(-len(query["labels"]) * len(labels) // PAIRS)
        some = np.argsort(labels, kind="stable")[::step]
        points = (
            part.cpu().numpy().astype(np.float64)
            for part in (query["embeddings"], reference["embeddings"][some])
        )
        same = query["labels"].cpu().numpy()[:, None] == labels[some]
        return cls(cdist(*points).astype(np.float32), same)

    def rates(self, threshold: float) -> dict[str, float]:
        """Return the shares that a threshold judges wrongly, as far as there are such pairs.

        Returns:
            ``fmr``, of the pairs of two classes those that are nearer, and ``fnmr``, of those of
            one class those that are farther.
        """
        near = self.distances <= np.float32(threshold)
        parts = {"fmr": near[~self.same], "fnmr": ~near[self.same]}
        return {name: float(wrong.mean()) for name, wrong in parts.items() if len(wrong)}

    def scores(self) -> tuple[dict[str, float], float | None]:
        """Return what the best thresholds reach.

        Returns:
            The equal error rate, ``eer``, and the share of false non-matches, ``fnmr_at_fmr_1``,
            where the threshold lets 1 % of the pairs of two classes through; and that threshold.
            What too few pairs cannot tell is left out.
        """
        if self.same.all() or not self.same.any():
            return {}, None
        found = verification(self.distances, self.same)
        scores, at_rate = {"eer": found["eer"]}, found["fnmr"][str(FALSE_MATCH_RATE)]
        if at_rate is None:
            return scores, None
        return scores | {"fnmr_at_fmr_1": at_rate["fnmr"]}, at_rate["distance"]
