from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from devices import DEVICES
from guided_dml.errors import InputError
from guided_dml.metrics import distances, neighbours, retrieval
from guided_dml.metrics.neighbours import nearest
from guided_dml.metrics.retrieval import retrieval_scores


def slow_ranking(query: list[float], references: list[list[float]]) -> list[int]:
    def squared(reference: list[float]) -> float:
        return math.fsum((a - b) ** 2 for a, b in zip(query, reference, strict=True))

    return sorted(range(len(references)), key=lambda i: (squared(references[i]), i))


def slow_scores(
    query: Tensor, query_labels: Tensor, reference: Tensor, reference_labels: Tensor
) -> dict[str, float]:
    labels = reference_labels.tolist()
    r_precision = map_at_r = 0.0
    hits: dict[int, list[list[bool]]] = {}
    for point, label in zip(query.tolist(), query_labels.tolist(), strict=True):
        found = [labels[i] == label for i in slow_ranking(point, reference.tolist())]
        r = labels.count(label)
        r_precision += sum(found[:r]) / r
        map_at_r += sum(sum(found[: i + 1]) / (i + 1) for i in range(r) if found[i]) / r
        hits.setdefault(label, []).append([any(found[:k]) for k in (1, 2, 4, 8)])
    scores = {"r_precision": r_precision / len(query), "map_at_r": map_at_r / len(query)}
    for column, k in enumerate((1, 2, 4, 8)):
        shares = [sum(row[column] for row in rows) / len(rows) for rows in hits.values()]
        scores[f"recall_at_{k}"] = sum(shares) / len(shares)
    return scores


def clusters(
    dimension: int, counts: list[int], seed: int, spread: float = 1.0
) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(seed)
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    centres = torch.randn(
        len(counts), dimension, generator=torch.Generator().manual_seed(9), dtype=torch.float64
    )
    noise = torch.randn(len(labels), dimension, generator=source, dtype=torch.float64)
    order = torch.randperm(len(labels), generator=source)
    return (centres[labels] + spread * noise).float()[order], labels[order]


@pytest.mark.parametrize("dimension", [1, 2, 3, 16, 17, 128])
@pytest.mark.parametrize("counts", [[20, 20, 20], [3, 50, 7], [1, 30, 2]])
def test_scores_are_those_of_a_loop(dimension: int, counts: list[int]) -> None:
    reference, query = clusters(dimension, counts, 0), clusters(dimension, [8, 5, 9], 1)
    fast = retrieval_scores(*query, *reference)
    assert fast == pytest.approx(slow_scores(*query, *reference), abs=1e-12)


@pytest.mark.parametrize("dimension", [2, 64])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_scores_are_those_of_pytorch_metric_learning(dimension: int, seed: int) -> None:
    reference = clusters(dimension, [60, 40, 25], seed)
    query = clusters(dimension, [30, 20, 30], seed + 100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

        calculator = AccuracyCalculator(
            include=("mean_average_precision_at_r", "r_precision", "precision_at_1"),
            k="max_bin_count",
            device=torch.device("cpu"),
        )
        theirs = calculator.get_accuracy(query[0], query[1], reference[0], reference[1])
    ours = retrieval_scores(*query, *reference)
    assert ours["map_at_r"] == pytest.approx(theirs["mean_average_precision_at_r"], abs=1e-6)
    assert ours["r_precision"] == pytest.approx(theirs["r_precision"], abs=1e-6)
    first = reference[1][nearest(query[0], reference[0], k=1)[:, 0]]
    assert (first == query[1]).double().mean().item() == pytest.approx(
        theirs["precision_at_1"], abs=1e-6
    )


def test_of_tied_references_the_lower_index_comes_first() -> None:
    reference = torch.tensor([[1.0, 0.0], [0.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    query = torch.zeros(1, 2)
    assert nearest(query, reference, k=5).tolist() == [[1, 4, 0, 2, 3]]
    labels = torch.tensor([1, 0, 0, 1, 1])
    scores = retrieval_scores(query, torch.tensor([0]), reference, labels)
    assert scores == pytest.approx(slow_scores(query, torch.tensor([0]), reference, labels))


def test_collapsed_embeddings_are_ranked_by_index() -> None:
    reference, labels = torch.zeros(9, 2), torch.arange(9) % 3
    query, query_labels = torch.zeros(4, 2), torch.tensor([2, 0, 1, 1])
    scores = retrieval_scores(query, query_labels, reference, labels)
    assert scores == pytest.approx(slow_scores(query, query_labels, reference, labels))


@pytest.mark.parametrize("dimension", [2, 20])
@pytest.mark.parametrize("grid", [0.25, 1.0, 4.0])
def test_many_ties_are_ranked_like_a_loop(dimension: int, grid: float) -> None:
    reference, labels = clusters(dimension, [70, 9, 40], 0)
    query, query_labels = clusters(dimension, [9, 9, 9], 1)
    reference, query = ((grid * (x / grid).round()) for x in (reference, query))
    fast = retrieval_scores(query, query_labels, reference, labels)
    assert fast == pytest.approx(slow_scores(query, query_labels, reference, labels), abs=1e-12)


@pytest.mark.parametrize("counts", [[40, 40, 40], [1, 90, 29], [3, 4, 5]])
@pytest.mark.parametrize("distances", [1, 2, 5, 50])
def test_ties_between_classes_are_ranked_like_a_loop(counts: list[int], distances: int) -> None:
    """On a line with few places ties end before, at and beyond the last rank that counts."""
    for seed in range(20):
        source = torch.Generator().manual_seed(seed)
        labels = torch.repeat_interleave(torch.arange(3), torch.tensor(counts))
        labels = labels[torch.randperm(len(labels), generator=source)]
        places = torch.randint(distances, (len(labels) + 3, 1), generator=source).float()
        arguments = (places[:3], torch.arange(3), places[3:], labels)
        assert retrieval_scores(*arguments) == pytest.approx(slow_scores(*arguments), abs=1e-12)


def test_the_lower_index_wins_where_the_tie_goes_on_beyond_the_last_rank() -> None:
    reference, labels = torch.zeros(30, 1), (torch.arange(30) >= 9).long()
    scores = retrieval_scores(torch.zeros(1, 1), torch.tensor([0]), reference, labels)
    assert set(scores.values()) == {1.0}


def test_no_other_class() -> None:
    reference, labels = torch.arange(12.0)[:, None], torch.zeros(12, dtype=torch.int64)
    scores = retrieval_scores(torch.tensor([[3.2]]), torch.tensor([0]), reference, labels)
    assert set(scores.values()) == {1.0}


@pytest.mark.parametrize("dimension", [2, 20])
@pytest.mark.parametrize("spread", [0.05, 3.0])
def test_both_engines_agree_on_many_references(dimension: int, spread: float) -> None:
    """Only among many references are there some that cannot be near."""
    reference, labels = clusters(dimension, [6000, 2000, 1500], 0, spread)
    query, query_labels = clusters(dimension, [90, 30, 30], 1, spread)
    arguments = (query, query_labels, reference, labels, lambda _: None)
    ours, theirs = retrieval._score_on_cpu(*arguments), retrieval._score_on_gpu(*arguments)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)
    assert nearest(query, reference, k=3).equal(neighbours.nearest_on_gpu(query, reference, k=3))


@pytest.mark.parametrize("dimension", [2, 20])
def test_chunks_change_nothing(dimension: int, monkeypatch: pytest.MonkeyPatch) -> None:
    reference, query = clusters(dimension, [300, 200], 0), clusters(dimension, [15, 12], 1)
    whole = retrieval_scores(*query, *reference)
    monkeypatch.setattr(neighbours, "GROUP", (8, 8))
    assert retrieval_scores(*query, *reference) == whole
    monkeypatch.setattr(neighbours, "CHUNK_BYTES", 3 * 500 * neighbours.PAIR_BYTES)
    assert retrieval_scores(*query, *reference) == whole


def exact_ranking(query: Tensor, reference: Tensor) -> Tensor:
    differences = query.numpy()[:, None].astype(np.float64) - reference.numpy().astype(np.float64)
    return torch.from_numpy((differences**2).sum(-1).argsort(axis=1, kind="stable"))


def exact_scores(order: Tensor, query_labels: Tensor, labels: Tensor) -> dict[str, float]:
    own = labels[order] == query_labels[:, None]
    total = own.sum(1)
    counted = own & (torch.arange(len(labels)) < total[:, None])
    precision = own.cumsum(1).double() / torch.arange(1, len(labels) + 1)
    scores = {
        "r_precision": (counted.sum(1) / total.double()).mean().item(),
        "map_at_r": ((precision * counted).sum(1) / total).mean().item(),
    }
    for k in (1, 2, 4, 8):
        hits = own[:, :k].any(1).double()
        by_class = [hits[query_labels == label].mean() for label in query_labels.unique()]
        scores[f"recall_at_{k}"] = torch.stack(by_class).mean().item()
    return scores


def points_of(kind: str, shape: tuple[int, int], rng: np.random.Generator) -> Tensor:
    if kind == "normal":
        return torch.from_numpy(rng.normal(size=shape))
    if kind == "collapsed":
        return torch.full(shape, 0.1, dtype=torch.float64)
    if kind == "whole":
        return torch.from_numpy(rng.integers(0, 3, shape)).double()
    if kind == "tenths":  # (equal only up to the order in which squares are added up)
        return 0.1 * torch.from_numpy(rng.integers(0, 4, shape)).double()
    lowest = 200 if kind == "pale pixels" else 0
    return torch.from_numpy(rng.integers(lowest, 256, shape, np.uint8))


@settings(deadline=None, max_examples=150)
@given(
    seed=st.integers(0, 2**32 - 1),
    dimension=st.sampled_from([1, 2, 3, 8, 15, 16, 17, 18, 33, 64, 130, 300]),
    sizes=st.tuples(st.integers(1, 70), st.integers(1, 200)),
    kind=st.sampled_from(["normal", "whole", "tenths", "collapsed", "pale pixels", "pixels"]),
    offset=st.sampled_from([0.0, 1.0, 100.0, 1e6]),
    scale=st.sampled_from([1.0, 1.0, 1e-4, 1e19, 3e37, 1e-19, 1e-30, 1e-43]),
    duplicates=st.booleans(),
    k=st.integers(1, 9),
    cut=st.sampled_from([(64, 2_000_000, 10**8), (5, 2_000_000, 20_000), (64, 1_000, 10**8)]),
)
def test_ranks_are_those_of_differences_in_float64(
    seed: int,
    dimension: int,
    sizes: tuple[int, int],
    kind: str,
    offset: float,
    scale: float,
    duplicates: bool,
    k: int,
    cut: tuple[int, int, int],
) -> None:
    rng = np.random.default_rng(seed)
    query, reference = (points_of(kind, (size, dimension), rng) for size in sizes)
    if "pixels" not in kind:
        query, reference = (
            ((points + offset) * scale).clip(-3e38, 3e38).float() for points in (query, reference)
        )
    labels = torch.from_numpy(rng.integers(0, 3, sizes[1])).unique(return_inverse=True)[1]
    query_labels = labels[torch.from_numpy(rng.integers(0, sizes[1], sizes[0]))]
    if duplicates:
        reference = reference[torch.from_numpy(rng.integers(0, sizes[1], sizes[1]))]
    order = exact_ranking(query, reference)
    wanted = pytest.approx(exact_scores(order, query_labels, labels), abs=1e-12)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "GROUP", (cut[0], cut[0]))
        patch.setattr(distances, "BLOCK_BYTES", cut[1])
        patch.setattr(neighbours, "CHUNK_BYTES", cut[2])
        for device in DEVICES:
            there = [x.to(device) for x in (query, query_labels, reference, labels)]
            assert nearest(there[0], there[2], k).cpu().equal(order[:, :k])
            assert retrieval_scores(*there) == wanted
        # The GPU's engine runs on a CPU as well.
        table = neighbours.checked("query", query), neighbours.checked("reference", reference)
        fewer = min(k, len(reference))
        assert neighbours.nearest_on_gpu(*table, fewer).equal(order[:, :k])
        scores = retrieval._score_on_gpu(table[0], query_labels, table[1], labels, lambda _: None)
        assert retrieval._means(scores, query_labels.numpy()) == wanted


@pytest.mark.parametrize("device", DEVICES)
def test_the_nearest_of_far_queries_is_found_in_company(device: str) -> None:
    """In float32 their lengths leave nothing of a difference of 0.15."""
    reference = torch.tensor([[100.0], [100.15]], device=device).expand(2, 17).contiguous()
    query = 1000 + 0.1 * torch.randn(64, 17, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1], device=device)
    scores = retrieval_scores(query.to(device), labels[1:].expand(64), reference, labels)
    assert scores["recall_at_1"] == 1


@pytest.mark.parametrize("dimension", [2, 17])
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_identical_references_come_in_order(dimension: int, dtype: torch.dtype) -> None:
    reference = torch.full((300, dimension), 7).to(dtype)
    order = torch.arange(300).expand(70, 300)
    for query in (reference[:70], reference[:70] + 1, 0.3 * reference[:70].float()):
        assert nearest(query, reference, k=300).equal(order)


def test_fewer_references_than_k() -> None:
    reference, labels = torch.tensor([[0.0], [2.0]]), torch.tensor([0, 1])
    scores = retrieval_scores(torch.tensor([[1.5]]), torch.tensor([0]), reference, labels)
    assert (scores["recall_at_1"], scores["recall_at_8"], scores["r_precision"]) == (0, 1, 0)


@pytest.mark.parametrize(
    ("query", "labels", "words"),
    [
        (torch.zeros(2, 2), torch.zeros(3, dtype=torch.int64), r"query: .*\[2, 2\] and \[3\]"),
        (torch.zeros(1, 2), torch.tensor([7]), r"no reference has the class .*\[7\]"),
    ],
)
def test_labels_that_do_not_fit_are_named(query: Tensor, labels: Tensor, words: str) -> None:
    with pytest.raises(InputError, match=words):
        retrieval_scores(query, labels, torch.zeros(4, 2), torch.tensor([0, 0, 1, 1]))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (torch.zeros(0, 2), "N > 0"),
        (torch.zeros(3, 0), "D > 0"),
        (torch.zeros(2), r"needed; got \[2\]"),
        (torch.tensor([[0, math.nan]]), "not finite"),
        (torch.tensor([[0, -math.inf]]), "not finite"),
        (torch.tensor([[0, 1e39]], dtype=torch.float64), "not finite"),
        (torch.zeros(1, 3), "dimension"),
    ],
)
def test_bad_points_are_named(bad: Tensor, words: str, device: str) -> None:
    bad, good = bad.to(device), torch.zeros(4, 2, device=device)
    for name, query, reference in (("query", bad, good), ("reference", good, bad)):
        labels = [torch.zeros(len(x), dtype=torch.int64, device=device) for x in (query, reference)]
        with pytest.raises(InputError, match=f"{name}.*{words}"):
            nearest(query, reference, k=1)
        with pytest.raises(InputError, match=f"{name}.*{words}"):
            retrieval_scores(query, labels[0], reference, labels[1])


def test_no_neighbour_is_refused() -> None:
    with pytest.raises(InputError, match="k: 0"):
        nearest(torch.zeros(1, 2), torch.zeros(1, 2), k=0)
