from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.covariance import EmpiricalCovariance
from torch import Tensor

from guided_dml.errors import InputError
from guided_dml.robustness import scorer
from guided_dml.robustness.scorer import Scorer, distances


def clusters(dimension: int, count: int = 60, seed: int = 0) -> dict[str, Tensor]:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % 3)
    shape = np.random.default_rng(9).normal(size=(dimension, dimension))
    centres = 3 * np.random.default_rng(8).normal(size=(3, dimension))
    points = centres[labels] + rng.normal(size=(count, dimension)) @ shape
    return {
        "embeddings": torch.from_numpy(points.astype(np.float32)),
        "labels": torch.from_numpy(labels),
    }


def everything(reference: dict[str, Tensor]) -> Tensor:
    return torch.arange(len(reference["labels"]))


@pytest.mark.parametrize("dimension", [1, 2, 17])
@pytest.mark.parametrize("learned", [60, 40, 1])
def test_distances_are_those_of_a_loop(dimension: int, learned: int) -> None:
    reference, query = clusters(dimension), clusters(dimension, 25, 1)["embeddings"]
    rows = torch.randperm(60, generator=torch.Generator().manual_seed(0))[:learned]
    found = Scorer(reference, rows)(query)
    all_of = np.linalg.norm(
        query.double().numpy()[:, None] - reference["embeddings"].double().numpy(), axis=2
    )
    np.testing.assert_allclose(found.scores["nn"], all_of.min(1))
    np.testing.assert_allclose(found.scores["knn"], all_of.min(1))  # (60 / 1000 is below one)
    np.testing.assert_array_equal(found.neighbours, all_of.argmin(1))
    np.testing.assert_allclose(found.learned, all_of[:, rows.numpy()].min(1))


def test_k_is_one_of_so_many_references(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorer, "REFERENCES_PER_NEIGHBOUR", 8)
    reference, query = clusters(2), clusters(2, 25, 1)["embeddings"]
    whole = torch.cdist(query.double(), reference["embeddings"].double()).sort(1).values
    for learned in (60, 50, 5):
        found = Scorer(reference, torch.arange(learned))(query).scores
        np.testing.assert_allclose(found["knn"], whole[:, 7], atol=1e-6)  # (60 / 8, rounded)
        np.testing.assert_allclose(found["nn"], whole[:, 0], atol=1e-6)


def test_of_too_many_dimensions_there_are_distances_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorer, "MOST_DIMENSIONS", 5)
    for dimension, names in ((5, {"nn", "knn", "mahalanobis", "relative"}), (6, {"nn", "knn"})):
        reference = clusters(dimension)
        found = Scorer(reference, everything(reference))(reference["embeddings"])
        assert found.scores.keys() == names


@pytest.mark.parametrize("parts", [1, 64_000_000])
@pytest.mark.parametrize("dimension", [1, 2, 6])
def test_mahalanobis_is_that_of_scikit_learn(
    dimension: int, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scorer, "PART_BYTES", parts)
    monkeypatch.setattr(scorer, "RIDGE", 0)
    reference, query = clusters(dimension), clusters(dimension, 25, 1)["embeddings"]
    points, labels = reference["embeddings"].double().numpy(), reference["labels"].numpy()
    means = np.stack([points[labels == c].mean(0) for c in range(3)])
    within = EmpiricalCovariance(assume_centered=True).fit(points - means[labels])
    of_all = EmpiricalCovariance().fit(points)
    test = query.double().numpy()
    nearest = np.min([within.mahalanobis(test - mean) for mean in means], axis=0)
    found = Scorer(reference, everything(reference))(query).scores
    np.testing.assert_allclose(found["mahalanobis"], nearest)
    relative = nearest - of_all.mahalanobis(test)
    np.testing.assert_allclose(found["relative"], relative, atol=1e-9)


def test_mahalanobis_is_that_of_its_formula() -> None:
    reference, query = clusters(4), clusters(4, 9, 1)["embeddings"].double().numpy()
    points, labels = reference["embeddings"].double().numpy(), reference["labels"].numpy()
    means = np.stack([points[labels == c].mean(0) for c in range(3)])

    def squares(centred: np.ndarray, at: np.ndarray) -> float:
        covariance = centred.T @ centred / len(centred)
        covariance += 1e-6 * covariance.trace() / 4 * np.eye(4)
        return float(at @ np.linalg.inv(covariance) @ at)

    found = Scorer(reference, everything(reference))(torch.from_numpy(query).float()).scores
    for row, point in enumerate(query):
        least = min(squares(points - means[labels], point - mean) for mean in means)
        of_all = squares(points - points.mean(0), point - points.mean(0))
        assert found["mahalanobis"][row] == pytest.approx(least)
        assert found["relative"][row] == pytest.approx(least - of_all)


@pytest.mark.parametrize("offset", [0.0, 1e4, 0.1])
def test_collapsed_classes_leave_squared_distances(offset: float) -> None:
    labels = torch.arange(600) % 3
    centres = offset + torch.tensor([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]])
    reference = {"embeddings": centres[labels], "labels": labels}
    query = offset + torch.tensor([[1.0, 1.0], [5.0, 2.0], [9.0, 9.0]])
    found = Scorer(reference, everything(reference))(query).scores
    np.testing.assert_allclose(found["mahalanobis"], found["nn"] ** 2, atol=1e-3)
    assert np.isfinite(found["relative"]).all()


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
def test_a_point_for_all_leaves_distances(value: float) -> None:
    reference = {"embeddings": torch.full((50, 3), value), "labels": torch.arange(50) % 2}
    found = Scorer(reference, everything(reference))(torch.full((4, 3), value)).scores
    assert found["nn"].tolist() == [0.0] * 4
    np.testing.assert_allclose(found["mahalanobis"], 0, atol=1e-6)
    np.testing.assert_allclose(found["relative"], 0, atol=1e-6)


def test_pixels_and_a_single_class_can_be_scored() -> None:
    source = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (30, 20), generator=source).byte()
    pixels[:, 3] = 7  # (a border pixel never changes)
    reference = {"embeddings": pixels, "labels": torch.zeros(30, dtype=torch.int64)}
    found = Scorer(reference, torch.arange(30))(pixels).scores
    assert found["nn"].tolist() == [0.0] * 30
    np.testing.assert_allclose(found["relative"], 0, atol=1e-6)
    changed = pixels.clone()
    changed[:, 3] = 8
    assert (Scorer(reference, torch.arange(30))(changed).scores["mahalanobis"] > 100).all()


def test_head_gives_probabilities_and_energies() -> None:
    reference, query = clusters(5), clusters(5, 25, 1)["embeddings"]
    source = torch.Generator().manual_seed(0)
    head = {
        "weight": torch.randn(3, 5, generator=source),
        "bias": torch.randn(3, generator=source),
    }
    found = Scorer(reference, everything(reference), head)(query).scores
    logits = query.double() @ head["weight"].T.double() + head["bias"].double()
    highest = logits.softmax(1).max(1).values
    np.testing.assert_allclose(found["msp"], 1 - highest, atol=1e-12)
    np.testing.assert_allclose(found["energy"], -logits.logsumexp(1))


def test_nearly_sure_probabilities_are_kept_apart() -> None:
    reference = clusters(1)
    head = {"weight": torch.tensor([[1.0], [-1.0]]), "bias": torch.zeros(2)}
    found = Scorer(reference, everything(reference), head)(torch.tensor([[50.0], [60.0]])).scores
    assert found["msp"][0] > found["msp"][1] > 0
    one = {"weight": torch.ones(1, 1), "bias": torch.zeros(1)}
    assert Scorer(reference, everything(reference), one)(torch.ones(2, 1)).scores["msp"].sum() == 0


def test_methods_without_a_head_have_no_probabilities() -> None:
    reference = clusters(2)
    heads: list[dict[str, Tensor] | None] = [None, {}]
    for head in heads:
        found = Scorer(reference, everything(reference), head)(reference["embeddings"])
        assert list(found.scores) == ["nn", "knn", "mahalanobis", "relative"]


def test_another_networks_head_is_told() -> None:
    reference, head = clusters(2), {"weight": torch.ones(3, 5), "bias": torch.ones(3)}
    with pytest.raises(InputError, match="head is for 5 dimensions, the embeddings have 2"):
        Scorer(reference, everything(reference), head)(reference["embeddings"])


def test_ties_go_to_the_lower_row() -> None:
    reference = torch.tensor([[1.0], [0.0], [1.0], [0.0]])
    rows, found = distances(torch.tensor([[0.0], [1.0]]), reference, 3)
    assert rows.tolist() == [[1, 3, 0], [0, 2, 1]]
    assert found.tolist() == [[0, 0, 1], [0, 0, 1]]
    scored = Scorer({"embeddings": reference, "labels": torch.arange(4)}, torch.tensor([2, 3]))
    assert scored(torch.tensor([[0.0], [1.0]])).neighbours.tolist() == [1, 0]
