from __future__ import annotations

import sys

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from guided_dml.inference.search import Search, vote


@pytest.mark.parametrize("dimension", [1, 2, 8, 9, 64])
@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("with_faiss", [True, False])
def test_neighbours_are_those_of_scikit_learn(
    dimension: int, offset: float, with_faiss: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not with_faiss:
        monkeypatch.setitem(sys.modules, "faiss", None)
    rng = np.random.default_rng(dimension)
    references, queries = (
        (rng.normal(size=(count, dimension)) + offset).astype(np.float32) for count in (300, 40)
    )
    distances, rows = (
        NearestNeighbors(n_neighbors=7, algorithm="brute")
        .fit(references.astype(np.float64))
        .kneighbors(queries.astype(np.float64))
    )
    found, measured = Search(references).nearest(queries, 7)
    if offset == 0:
        assert (found == rows).all()
    np.testing.assert_allclose(measured, distances, rtol=1e-4, atol=1e-5 * (1 + offset))


def test_one_by_one_or_together_is_the_same_and_ties_go_to_the_first() -> None:
    references = np.repeat(np.array([[0, 0], [1, 0]], np.float32), 3, axis=0)
    search = Search(references)
    queries = np.array([[0, 0], [1, 0], [0.5, 0]], np.float32)
    together, _ = search.nearest(queries, 6)
    assert [search.nearest(query[None], 6)[0][0].tolist() for query in queries] == together.tolist()
    assert together.tolist() == [[0, 1, 2, 3, 4, 5], [3, 4, 5, 0, 1, 2], [0, 1, 2, 3, 4, 5]]
    assert search.nearest(queries, 100)[0].shape == (3, 6)


@pytest.mark.parametrize("dimension", [2, 16, 64])
@pytest.mark.parametrize("with_faiss", [True, False])
def test_of_many_duplicates_the_first_are_found(
    dimension: int, with_faiss: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not with_faiss:
        monkeypatch.setitem(sys.modules, "faiss", None)
    points = np.random.default_rng(0).normal(size=(50, dimension)).astype(np.float32)
    search = Search(np.tile(points, (60, 1)))
    for k in (1, 5):
        expected = np.arange(50)[:, None] + 50 * np.arange(k)
        assert (search.nearest(points, k)[0] == expected).all()


def test_blocks_of_queries_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    references, queries = (rng.normal(size=(n, 3)).astype(np.float32) for n in (50, 20))
    whole = Search(references).nearest(queries, 4)
    monkeypatch.setattr("guided_dml.inference.search.AT_ONCE", 60)
    rows, distances = Search(references).nearest(queries, 4)
    assert np.array_equal(rows, whole[0])
    assert np.array_equal(distances, whole[1])


def test_votes_are_those_of_scikit_learn_but_for_ties() -> None:
    rng = np.random.default_rng(1)
    references, queries = (rng.normal(size=(n, 2)).astype(np.float32) for n in (200, 100))
    labels = rng.integers(0, 2, 200)
    rows, _ = Search(references).nearest(queries, 5)
    found, share = vote(labels[rows])
    classifier = KNeighborsClassifier(5).fit(references, labels)
    assert found.tolist() == classifier.predict(queries).tolist()
    np.testing.assert_allclose(share, classifier.predict_proba(queries).max(1))
    of_nearest, half = vote(np.array([[3, 1, 1, 3], [7, 2, 2, 2]]))
    assert of_nearest.tolist() == [3, 2]
    assert half.tolist() == [0.5, 0.75]
