from __future__ import annotations

import math

import pytest
import torch
from pytorch_metric_learning import distances as pml_distances
from pytorch_metric_learning import losses as pml_losses
from torch import Tensor

from devices import DEVICES, DTYPES
from guided_dml.losses import gemini_loss, guidance_loss, triplet_loss


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


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("beta", "margin"), [(0.005, 3.0), (0.5, 1.0), (0.0, 0.2), (1.0, 3.0)])
def test_gemini_loss_is_equation_5(
    device: str, dtype: torch.dtype, beta: float, margin: float
) -> None:
    h_a, h_p, *z = (tensor.to(device) for tensor in triplets(dtype))
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


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_guidance_losses_against_a_loop(device: str, dtype: torch.dtype) -> None:
    source = torch.Generator().manual_seed(1)
    both = [torch.randn(9, 3, generator=source) for _ in range(2)]
    student, teacher = (tensor.to(device, dtype) for tensor in both)
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


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("spread", [0.0, 0.01, 1.0, 100.0])
@pytest.mark.parametrize("classes", [1, 3, 40])
def test_triplet_loss_and_its_gradient_are_those_of_every_triplet(
    device: str, dtype: torch.dtype, spread: float, classes: int
) -> None:
    source = torch.Generator().manual_seed(2)
    labels = torch.randint(classes, (40,), generator=source).to(device)
    points = torch.randn(40, 3, generator=source).to(device, dtype) * spread
    points[5] = points[6]
    plain = pml_distances.LpDistance(normalize_embeddings=False)
    gradients, values = [], []
    for loss in (
        pml_losses.TripletMarginLoss(margin=1.0, distance=plain),
        lambda *batch: triplet_loss(*batch, margin=1.0),
    ):
        embeddings = points.clone().requires_grad_()
        value = loss(embeddings, labels)
        value.backward()
        values.append(value.item())
        gradients.append(embeddings.grad)
    assert values[1] == pytest.approx(values[0], rel=1e-5, abs=1e-6)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-3, atol=1e-6)


def test_triplets_that_keep_the_margin_cost_nothing() -> None:
    embeddings = torch.tensor([[0.0], [1.0], [5.0], [6.0]])
    labels = torch.tensor([0, 0, 1, 1])
    assert triplet_loss(embeddings, labels, margin=3.0) == 0  # (4 apart, 1 within: 3 kept just so)
    assert triplet_loss(embeddings, labels, margin=3.5) == pytest.approx(0.5)
