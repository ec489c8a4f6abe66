"""Scores of out-of-distribution (OOD) images, and of what a distance says of an answer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from guided_dml.errors import InputError
from guided_dml.robustness.detection import detection_scores, risk_of_coverage, threshold_of
from guided_dml.robustness.pairs import Pairs
from guided_dml.robustness.scorer import Scorer, distances
from guided_dml.types import Tensors

Array = NDArray[np.float64]


def ood_scores(
    reference: Tensors,
    query: Tensors,
    ood: Mapping[str, Tensor],
    split: Tensors,
    head: Tensors | None = None,
) -> tuple[dict[str, float], dict[str, Array]]:
    """Score how well OOD sets are told from the test images, each set by itself.

    Args:
        reference: All training images: ``embeddings`` ``[N, D]`` and ``labels`` int64 ``[N]``.
        query: The test images, likewise: the ID side.
        ood: Embeddings ``[M, D]`` of each OOD set, by its name.
        split: ``train`` and ``validation``, int64 rows of the references.
        head: ``weight`` ``[C, D]`` and ``bias`` ``[C]``, of a softmax only.

    Returns:
        ``<figure>_<score>.<set>`` for the figures of
        :func:`~guided_dml.robustness.detection.detection` and the scores of
        :class:`~guided_dml.robustness.scorer.Scorer`. With validation images ``id_acceptance`` and
        ``ood_rejection.<set>`` of the threshold that accepts 95 % of them, by the distance to
        ``split.train``: what a person can deploy. ``aurc``, the area under the risk-coverage curve
        of 1-NN ordered by ``nn``; ``eer`` and ``fnmr_at_fmr_1`` of query-reference pairs.
        And for figures: ``known`` ``[Q]`` and ``strange.<set>`` ``[M]``, the distances to the
        nearest image that the network learned from; ``threshold`` ``[1]`` on them, empty without
        validation images; ``risk`` ``[Q]``, the share of wrong answers of 1-NN if only the
        1, 2 ... Q nearest test images are answered.

    Raises:
        InputError: A set holds no images, or embeddings do not fit.
    """
    for name, points in ood.items():
        if not len(points):
            raise InputError(f"the OOD set {name!r} holds no images; leave it out")
    scorer = Scorer(reference, split["train"], head)
    known, strange = scorer(query["embeddings"]), {name: scorer(ood[name]) for name in ood}
    scores: dict[str, float] = {}
    for name, found in strange.items():
        figures = detection_scores(known.scores, found.scores)
        scores |= {f"{figure}.{name}": value for figure, value in figures.items()}
    shown = {"known": known.learned, "threshold": np.empty(0)}
    shown |= {f"strange.{name}": found.learned for name, found in strange.items()}
    if len(split["validation"]):
        points = reference["embeddings"]
        _, near = distances(points[split["validation"]], points, 1, split["train"])
        threshold = threshold_of(near[:, 0])
        shown["threshold"] = np.array([threshold])
        scores["id_acceptance"] = float((known.learned <= threshold).mean())
        for name, found in strange.items():
            scores[f"ood_rejection.{name}"] = float((found.learned > threshold).mean())
    answers = reference["labels"].cpu().numpy()[known.neighbours]
    risk = risk_of_coverage(known.scores["nn"], answers != query["labels"].cpu().numpy())
    scores |= {"aurc": float(risk.mean())} | Pairs.of(query, reference).scores()[0]
    return scores, shown | {"risk": risk}
