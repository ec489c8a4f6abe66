from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import pdist
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.manifold import trustworthiness as of_scikit_learn
from sklearn.metrics import silhouette_score
from sklearn.neighbors import KNeighborsClassifier, NeighborhoodComponentsAnalysis
from torch import Tensor

from guided_dml.errors import InputError
from guided_dml.robustness.maps import (
    RIVALS,
    Map,
    map_of_embeddings,
    map_scores,
    ranks,
    rival_maps,
    stratified_rows,
    trustworthiness,
)

Points = NDArray[np.float32]


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    images, labels = load_digits(return_X_y=True)
    return torch.from_numpy(images.astype(np.uint8)).reshape(-1, 1, 8, 8), torch.from_numpy(labels)


def slow_ranks(points: Points) -> list[list[int]]:
    found = []
    for own, point in enumerate(points.astype(float)):
        far = ((points.astype(float) - point) ** 2).sum(1)
        order = sorted((j for j in range(len(points)) if j != own), key=lambda j: (far[j], j))
        found.append([0 if j == own else 1 + order.index(j) for j in range(len(points))])
    return found


@pytest.mark.parametrize("decimals", [0, 7])
@pytest.mark.parametrize("dimension", [1, 2, 20])
def test_ranks_are_those_of_a_loop(dimension: int, decimals: int) -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(40, dimension)).round(decimals).astype(np.float32)
    assert ranks(torch.from_numpy(points)).tolist() == slow_ranks(points)


def test_ranks_of_pixels_are_those_of_a_loop() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 12)).astype(np.uint8)
    pixels[20:] = pixels[:10]
    assert ranks(torch.from_numpy(pixels)).tolist() == slow_ranks(pixels.astype(np.float32))


@pytest.mark.parametrize(("count", "k"), [(50, 20), (41, 20), (7, 3), (3, 1)])
def test_trustworthiness_is_that_of_scikit_learn(count: int, k: int) -> None:
    rng = np.random.default_rng(count)
    truth, shown = rng.normal(size=(count, 5)), rng.normal(size=(count, 2))
    of_truth, of_map = (ranks(torch.from_numpy(some)) for some in (truth, shown))
    expected = of_scikit_learn(truth, shown, n_neighbors=k)
    assert trustworthiness(of_truth, of_map, k) == pytest.approx(expected)


def test_a_map_is_scored_as_by_scikit_learn(digits: tuple[Tensor, Tensor]) -> None:
    images, labels = (some[:300] for some in digits)
    pixels = images.flatten(1).double().numpy()
    points = PCA(2, random_state=0).fit_transform(pixels).astype(np.float32)
    drawn = Map(points[:200], points[200:])
    by_pixels = ranks(images[200:].flatten(1))
    found = map_scores(drawn, labels[:200], labels[200:], by_pixels)
    shown = points[200:].astype(float)
    assert found["trustworthiness"] == pytest.approx(
        of_scikit_learn(pixels[200:], shown, n_neighbors=20), abs=1e-4
    )
    assert found["continuity"] == pytest.approx(
        of_scikit_learn(shown, pixels[200:], n_neighbors=20), abs=2e-3
    )  # (pixels have ties)
    assert found["silhouette"] == pytest.approx(silhouette_score(shown, labels[200:]))
    one = KNeighborsClassifier(1).fit(points[:200], labels[:200]).predict(points[200:])
    each = [(one == labels[200:].numpy())[labels[200:] == c].mean() for c in range(10)]
    assert found["recall_at_1"] == pytest.approx(np.mean(each))
    hits = [
        np.mean([labels[200 + j] == labels[200 + i] for j in np.argsort(row)[1:21]])
        for i, row in enumerate(ranks(torch.from_numpy(points[200:])))
    ]
    assert found["neighbourhood_hit"] == pytest.approx(np.mean(hits))
    assert list(found) == [
        *("trustworthiness", "continuity", "neighbourhood_hit", "recall_at_1", "silhouette")
    ]


def test_a_perfect_and_a_collapsed_map() -> None:
    labels = torch.arange(60) % 3
    noise = 0.01 * torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    points = (10 * torch.eye(3, 2)[labels] + noise).numpy()
    found = map_scores(Map(points, points), labels, labels, ranks(torch.from_numpy(points)))
    assert found["trustworthiness"] == found["continuity"] == found["recall_at_1"] == 1
    assert found["neighbourhood_hit"] == pytest.approx(19 / 20)  # (of a class there are 19 others)
    assert found["silhouette"] > 0.9
    zeros = np.zeros((60, 2), np.float32)
    found = map_scores(Map(zeros, zeros), labels, labels, ranks(torch.from_numpy(points)))
    assert found["silhouette"] == 0
    assert found["recall_at_1"] == pytest.approx(1 / 3)
    assert found["neighbourhood_hit"] < 0.5


def test_few_points_and_one_class_leave_out_what_they_cannot_tell() -> None:
    points, labels = np.eye(2, dtype=np.float32), torch.zeros(2, dtype=torch.int64)
    found = map_scores(Map(points, points), labels, labels, ranks(torch.from_numpy(points)))
    assert found == {"recall_at_1": 1.0}
    points = np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32)
    labels = torch.zeros(9, dtype=torch.int64)
    timed = Map(points, points, 1.5)
    found = map_scores(timed, labels, labels, ranks(torch.from_numpy(points)))
    assert found["neighbourhood_hit"] == 1
    assert found["seconds"] == 1.5
    assert "silhouette" not in found


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_embeddings_are_seen_in_the_plane_of_the_references(dimension: int) -> None:
    source = torch.Generator().manual_seed(0)
    reference, query = (torch.randn(n, dimension, generator=source) for n in (50, 8))
    drawn = map_of_embeddings(reference, query)
    assert (drawn.reference.shape, drawn.query.shape) == ((50, 2), (8, 2))
    if dimension <= 2:
        np.testing.assert_array_equal(drawn.query[:, :dimension], query)
    else:
        expected = PCA(2).fit(reference.double().numpy()).transform(query.double().numpy())
        np.testing.assert_allclose(np.abs(drawn.query), np.abs(expected), atol=1e-5)


def test_rivals_learn_from_training_images_alone(digits: tuple[Tensor, Tensor]) -> None:
    images, labels = (some[:300] for some in digits)
    reference = {"images": images[:200], "labels": labels[:200]}
    found = rival_maps(reference, images[200:], seed=2**40)
    assert list(found) == list(RIVALS)
    pixels = images.flatten(1).double().numpy()
    pca = PCA(2).fit(pixels[:200]).transform(pixels[200:])
    np.testing.assert_allclose(255 * np.abs(found["pca"].query), np.abs(pca), atol=1e-2)
    lda = LinearDiscriminantAnalysis(n_components=2).fit(pixels[:200], labels[:200])
    np.testing.assert_allclose(found["lda"].query, lda.transform(pixels[200:]), atol=1e-2)
    pca50 = PCA(50).fit(pixels[:200] / 255)
    nca = NeighborhoodComponentsAnalysis(2).fit(pca50.transform(pixels[:200] / 255), labels[:200])
    by_hand = nca.transform(pca50.transform(pixels[200:] / 255))
    # (components may be mirrored: distances are not)
    assert np.corrcoef(pdist(found["nca"].query), pdist(by_hand))[0, 1] > 0.999
    recalls = {
        name: map_scores(drawn, labels[:200], labels[200:], ranks(images[200:].flatten(1)))
        for name, drawn in found.items()
    }
    assert min(one["recall_at_1"] for one in recalls.values()) > 0.5  # (0.1 is a guess)
    assert all(drawn.seconds is not None and drawn.seconds > 0 for drawn in found.values())
    alone = rival_maps(reference, images[200:210], seed=2**40)
    for name, drawn in alone.items():
        np.testing.assert_allclose(drawn.query, found[name].query[:10], atol=1e-4)


def test_two_classes_have_no_plane_of_lda(digits: tuple[Tensor, Tensor]) -> None:
    images, labels = digits
    two = labels < 2
    reference = {"images": images[two], "labels": labels[two]}
    assert list(rival_maps(reference, images[two][:3], 0)) == ["pca", "nca"]
    few = {name: some[:2] for name, some in reference.items()}
    with pytest.raises(InputError, match="2 training images of 64 values given"):
        rival_maps(few, images[:3], 0)


def test_rows_are_of_each_class_its_share() -> None:
    labels = np.repeat(np.arange(3), [600, 300, 100])[np.random.default_rng(0).permutation(1000)]
    rows = stratified_rows(labels, 100, 0)
    assert np.bincount(labels[rows]) == pytest.approx([60, 30, 10], abs=1)
    assert len(np.unique(rows)) == 100
    assert (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(rows, stratified_rows(labels, 100, 0))
    assert (rows != stratified_rows(labels, 100, 1)).any()
    np.testing.assert_array_equal(stratified_rows(labels, 5000, 0), np.arange(1000))
