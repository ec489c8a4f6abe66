from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from guided_dml.errors import InputError
from guided_dml.robustness.ood import ood_scores

SPLIT = {"train": torch.arange(0, 90), "validation": torch.arange(90, 120)}


def clusters(count: int, seed: int, spread: float = 1.0) -> dict[str, Tensor]:
    source = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (count,), generator=source)
    centres = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    noise = spread * torch.randn(count, 2, generator=source)
    return {"embeddings": centres[labels] + noise, "labels": labels}


@pytest.fixture
def ood() -> dict[str, Tensor]:
    source = torch.Generator().manual_seed(5)
    return {
        "near": 3 * torch.randn(50, 2, generator=source),
        "far": 40 + torch.randn(20, 2, generator=source),
    }


def test_each_set_is_scored_by_itself(ood: dict[str, Tensor]) -> None:
    reference, query = clusters(120, 0), clusters(60, 1)
    scores, shown = ood_scores(reference, query, ood, SPLIT)
    distance = torch.cdist(query["embeddings"].double(), reference["embeddings"].double())
    known = distance.min(1).values.numpy()
    for name, points in ood.items():
        strange = torch.cdist(points.double(), reference["embeddings"].double()).min(1).values
        is_ood = np.repeat([0, 1], [60, len(points)])
        area = roc_auc_score(is_ood, np.concatenate([known, strange]))
        assert scores[f"auroc_nn.{name}"] == pytest.approx(area)
    assert scores["fpr95_mahalanobis.far"] == scores["fpr95_nn.far"] == 0
    assert 0 < scores["auroc_nn.near"] < scores["auroc_nn.far"] == 1
    wrong = reference["labels"][distance.argmin(1)] != query["labels"]
    risk = [wrong[np.argsort(known)[:n]].double().mean() for n in range(1, 61)]
    np.testing.assert_allclose(shown["risk"], risk)
    assert scores["aurc"] == pytest.approx(np.mean(risk))
    assert 0 < scores["eer"] < 0.5
    assert all(math.isfinite(value) for value in scores.values())


def test_threshold_is_of_validation_images_against_those_learned_from(
    ood: dict[str, Tensor],
) -> None:
    reference, query = clusters(120, 0), clusters(60, 1)
    scores, shown = ood_scores(reference, query, ood, SPLIT)
    learned = reference["embeddings"][:90]

    def to_learned(points: Tensor) -> Tensor:
        return torch.cdist(points.double(), learned.double()).min(1).values

    threshold = to_learned(reference["embeddings"][90:]).sort().values[28]  # (29 of 30: 95 %)
    assert shown["threshold"] == pytest.approx([float(threshold)], abs=1e-6)
    accepted = (to_learned(query["embeddings"]) <= threshold).double().mean()
    assert scores["id_acceptance"] == pytest.approx(float(accepted))
    rejected = (to_learned(ood["near"]) > threshold).double().mean()
    np.testing.assert_allclose(shown["known"], to_learned(query["embeddings"]), atol=1e-6)
    np.testing.assert_allclose(shown["strange.near"], to_learned(ood["near"]), atol=1e-6)
    assert scores["ood_rejection.near"] == pytest.approx(float(rejected))


def test_without_validation_images_there_is_no_threshold(ood: dict[str, Tensor]) -> None:
    split = {"train": torch.arange(120), "validation": torch.arange(0)}
    scores, shown = ood_scores(clusters(120, 0), clusters(60, 1), ood, split)
    assert not len(shown["threshold"])
    assert not {"id_acceptance", "ood_rejection.near"} & set(scores)
    assert "auroc_nn.near" in scores


def test_collapsed_embeddings_tell_nothing_apart() -> None:
    reference = {"embeddings": torch.ones(120, 2), "labels": torch.arange(120) % 3}
    query = {"embeddings": torch.ones(30, 2), "labels": torch.arange(30) % 3}
    scores, _ = ood_scores(reference, query, {"same": torch.ones(9, 2)}, SPLIT)
    assert scores["auroc_nn.same"] == scores["auroc_relative.same"] == scores["eer"] == 0.5
    assert scores["fpr95_nn.same"] == scores["id_acceptance"] == 1
    assert scores["aurc"] == pytest.approx(2 / 3)
    assert scores["ood_rejection.same"] == 0


def test_one_class_and_no_set_leave_out_what_they_cannot_tell() -> None:
    reference = {"embeddings": torch.arange(120.0)[:, None], "labels": torch.zeros(120).long()}
    query = {"embeddings": torch.arange(3.0)[:, None], "labels": torch.zeros(3).long()}
    scores, _ = ood_scores(reference, query, {}, SPLIT)
    assert set(scores) == {"id_acceptance", "aurc"}


def test_an_empty_set_is_told() -> None:
    with pytest.raises(InputError, match="'none' holds no images"):
        ood_scores(clusters(120, 0), clusters(9, 1), {"none": torch.zeros(0, 2)}, SPLIT)
