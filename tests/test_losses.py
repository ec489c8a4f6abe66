from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import permutations
from typing import Any

import pytest
import torch
from torch import Tensor

from guided_dml.losses import (
    anchor_points,
    baseline_objective,
    distances,
    gemini_loss,
    guidance_loss,
)
from guided_dml.parameters import BASELINES, Parameters, baseline_parameters


def norm(values: list[float]) -> float:
    return math.sqrt(sum(value * value for value in values))


def slow_gemini_loss(
    h_a: Tensor, h_p: Tensor, z: list[Tensor], beta: float, margin: float
) -> float:
    local = total = 0.0
    for i in range(len(h_a)):
        local += norm((h_a[i] - h_p[i]).tolist())
        near = norm((z[0][i] - z[1][i]).tolist())
        far = norm((z[0][i] - z[2][i]).tolist())
        total += max(0.0, near - far + margin)
    return beta * local / len(h_a) + (1 - beta) * total / len(h_a)


def triplets(dtype: torch.dtype = torch.float64) -> list[Tensor]:
    source = torch.Generator().manual_seed(0)
    local = [torch.randn(7, 5, generator=source, dtype=dtype) for _ in range(2)]
    return local + [2 * torch.randn(7, 2, generator=source, dtype=dtype) for _ in range(3)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("beta", "margin"), [(0.005, 3.0), (0.5, 1.0), (0.0, 0.2), (1.0, 3.0)])
def test_gemini_loss_is_equation_5(dtype: torch.dtype, beta: float, margin: float) -> None:
    h_a, h_p, *z = triplets(dtype)
    fast = gemini_loss(h_a, h_p, *z, beta=beta, margin=margin)
    tolerance = 1e-6 if dtype == torch.float32 else 1e-12
    assert fast.item() == pytest.approx(slow_gemini_loss(h_a, h_p, z, beta, margin), rel=tolerance)


def test_gemini_loss_has_the_gradient_of_finite_differences() -> None:
    tensors = [tensor.requires_grad_() for tensor in triplets()]
    h_a, h_p, *z = tensors
    gemini_loss(h_a, h_p, *z, beta=0.3, margin=1.0).backward()
    step = 1e-6
    for tensor in tensors:
        assert tensor.grad is not None
        for index in [(0, 0), (3, 1), (6, 1)]:
            values = []
            for sign in (1, -1):
                with torch.no_grad():
                    tensor[index] += sign * step
                    values.append(slow_gemini_loss(h_a, h_p, z, beta=0.3, margin=1.0))
                    tensor[index] -= sign * step
            slope = (values[0] - values[1]) / (2 * step)
            assert tensor.grad[index].item() == pytest.approx(slope, abs=1e-8)


def test_gradient_is_finite_where_anchor_and_positive_coincide() -> None:
    same = torch.ones(3, 2, requires_grad=True)
    loss = gemini_loss(same, same.clone(), same, same.clone(), same + 1, beta=0.5, margin=3.0)
    loss.backward()
    assert same.grad is not None
    assert same.grad.isfinite().all()


def test_margin_that_is_met_costs_nothing() -> None:
    anchor, positive, negative = torch.zeros(1, 2), torch.zeros(1, 2), torch.tensor([[4.0, 0.0]])
    assert gemini_loss(anchor, positive, anchor, positive, negative, beta=0.0, margin=3.0) == 0


def test_distance_is_not_squared() -> None:
    assert distances(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]])).tolist() == [5.0]


def test_guidance_losses_against_a_loop() -> None:
    source = torch.Generator().manual_seed(1)
    student, teacher = (torch.randn(9, 3, generator=source) for _ in range(2))
    rows = list(zip(student.tolist(), teacher.tolist(), strict=True))
    gaps = [norm([a - b for a, b in zip(s, t, strict=True)]) for s, t in rows]
    dots = [sum(a * b for a, b in zip(s, t, strict=True)) / norm(s) / norm(t) for s, t in rows]
    expected = {
        "l2": sum(gaps) / 9,
        "cosine": sum(1 - dot for dot in dots) / 9,
        "gaussian": sum(1 - math.exp(-(gap**2) / (2 * 1.5**2)) for gap in gaps) / 9,
    }
    for name, value in expected.items():
        loss = guidance_loss(name, 1.5)(student, teacher)  # type: ignore[arg-type]
        assert loss.item() == pytest.approx(value, rel=1e-6), name


def method(name: str, **settings: Any) -> Any:
    return baseline_parameters({"loss": name, "normalise_embeddings": False, **settings})


def points(count: int = 24, classes: int = 4) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(1)
    labels = torch.randint(classes, (count,), generator=source)
    return 2 * torch.randn(count, 2, generator=source), labels


def pairs(embeddings: Tensor, labels: Tensor) -> Iterator[tuple[int, int, float, bool]]:
    for i, j in permutations(range(len(labels)), 2):
        distance = norm((embeddings[i] - embeddings[j]).tolist())
        yield i, j, distance, bool(labels[i] == labels[j])


def mean_above_zero(values: list[float]) -> float:
    above = [value for value in values if value > 0]
    return sum(above) / len(above) if above else 0.0


def slow_contrastive(embeddings: Tensor, labels: Tensor, margin: float) -> float:
    found = list(pairs(embeddings, labels))
    together = mean_above_zero([d for *_, d, same in found if same])
    return together + mean_above_zero([margin - d for *_, d, same in found if not same])


def slow_triplet(embeddings: Tensor, labels: Tensor, margin: float) -> float:
    found = list(pairs(embeddings, labels))
    return mean_above_zero(
        [
            near - far + margin
            for anchor, _, near, same in found
            if same
            for other, _, far, of_own in found
            if other == anchor and not of_own
        ]
    )


def test_pair_based_losses_measure_plain_distances(parameters: Parameters) -> None:
    embeddings, labels = points()
    for loss, slow, margin in (
        ("contrastive", slow_contrastive, 3.0),
        ("triplet", slow_triplet, 0.5),
    ):
        objective = baseline_objective(method(loss, margin=margin), 4, parameters.student, 0)
        expected = slow(embeddings, labels, margin)
        assert objective(embeddings, labels).item() == pytest.approx(expected, rel=1e-5)


def test_margin_loss_averages_over_violations(parameters: Parameters) -> None:
    embeddings, labels = points()
    loss = method("margin", margin=0.2, beta=1.2)
    objective = baseline_objective(loss, 4, parameters.student, 0)
    total, violated = 0.0, 0
    found = list(pairs(embeddings, labels))
    for anchor, _, near, same in found:
        for other, _, far, of_own in found:
            if other == anchor and same and not of_own:
                both = [max(0.0, near - 1.2 + 0.2), max(0.0, 1.2 - far + 0.2)]
                total += sum(both)
                violated += sum(value > 0 for value in both)
    assert objective(embeddings, labels).item() == pytest.approx(total / violated, rel=1e-5)


def test_multi_similarity_sees_angles_only(parameters: Parameters) -> None:
    embeddings, labels = points()
    loss = method("multi_similarity", alpha=2.0, beta=50.0, base=0.5)
    objective = baseline_objective(loss, 4, parameters.student, 0)
    scaled = embeddings * torch.rand(len(labels), 1).add(0.5)
    assert objective(embeddings, labels).item() == pytest.approx(
        objective(scaled, labels).item(), rel=1e-5
    )


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("dimension", [1, 2, 3, 16])
def test_anchors_stand_one_margin_apart(classes: int, dimension: int) -> None:
    found = anchor_points(classes, dimension, 3.0, 0)
    assert found.shape == (classes, dimension)
    assert torch.pdist(found).min().item() == pytest.approx(3.0, rel=1e-5)
    assert found.equal(anchor_points(classes, dimension, 3.0, 0))
    assert classes == 2 or not found.equal(anchor_points(classes, dimension, 3.0, 1))
    if dimension == 2:
        radius = 3.0 / (2 * math.sin(math.pi / classes))
        torch.testing.assert_close(found.norm(dim=1), torch.full((classes,), radius))


def test_the_controls_follow_the_label(parameters: Parameters) -> None:
    embeddings, labels = points()
    anchors = baseline_objective(method("anchors", margin=3.0), 4, parameters.student, 0)
    targets = anchor_points(4, 2, 3.0, 0)[labels]
    expected = (embeddings - targets).norm(dim=1).mean().item()
    assert anchors(embeddings, labels).item() == pytest.approx(expected, rel=1e-6)
    softmax = baseline_objective(method("softmax"), 4, parameters.student, 0)
    weight, bias = softmax.parameters()
    logits = embeddings @ weight.T + bias
    expected = -logits.log_softmax(1)[torch.arange(len(labels)), labels].mean().item()
    assert softmax(embeddings, labels).item() == pytest.approx(expected, rel=1e-5)


def test_every_baseline_has_a_block_and_an_objective(
    parameters: Parameters, raw_parameters: dict[str, Any]
) -> None:
    embeddings, labels = points()
    for name in BASELINES:
        settings = baseline_parameters(raw_parameters[name])
        assert settings == getattr(parameters, name)
        objective = baseline_objective(settings, 4, parameters.student, 0)
        assert objective(embeddings, labels).isfinite()
