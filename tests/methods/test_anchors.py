import math

import pytest
import torch

from batch import CLASSES, points
from devices import DEVICES, DTYPES
from guided_dml.blocks import Task
from guided_dml.methods.anchors import Anchors, anchor_points
from guided_dml.parameters import Parameters


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


def test_anchors_that_can_be_all_equally_far_apart_are() -> None:
    found = torch.pdist(anchor_points(10, 16, 3.0, 0))
    torch.testing.assert_close(found, torch.full((45,), 3.0), rtol=1e-3, atol=0)


def test_many_anchors_on_a_sphere_fill_it() -> None:
    radius = anchor_points(300, 3, 1.0, 0).norm(dim=1).mean()
    assert radius < 1.2 * math.sqrt(300 * math.sqrt(3) / (8 * math.pi))  # (of a hexagonal lattice)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_loss_is_the_distance_to_the_point_of_the_class(
    parameters: Parameters, device: str, dtype: torch.dtype
) -> None:
    embeddings, labels = points(device, dtype)
    task = Task(parameters.student, CLASSES, seed=0)
    anchors = Anchors(margin=3.0, normalise_embeddings=False)
    targets = anchor_points(CLASSES, 2, 3.0, 0).to(embeddings)[labels]
    assert anchors.answers(task, labels.cpu()).to(embeddings).equal(targets)
    loss = anchors.objective(task)(embeddings, targets)
    expected = (embeddings - targets).norm(dim=1).mean()
    torch.testing.assert_close(loss, expected)
