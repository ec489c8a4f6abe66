from __future__ import annotations

import pytest
import torch
from torch import nn

from guided_dml.blocks import BACKBONES
from guided_dml.models.backbones import build_embedder
from guided_dml.models.gemini import Gemini
from guided_dml.parameters import Parameters
from guided_dml.training.batches import DeviceImages
from guided_dml.training.embed import CLASS_BATCH, embed, embed_by_class
from guided_dml.training.policy import Policy


@pytest.fixture
def images(policy: Policy) -> DeviceImages:
    pixels = torch.randint(0, 256, (70, 1, 8, 8), dtype=torch.uint8)
    return DeviceImages(pixels, {"mean": [127.0], "std": [74.0]}, policy.device)


def small_cnn(parameters: Parameters, policy: Policy) -> nn.Module:
    student = parameters.student.model_copy(update={"backbone": "small_cnn"})
    return policy.place(build_embedder(0, (1, 8, 8), student))


def test_an_image_alone_embeds_as_in_a_batch(
    images: DeviceImages, parameters: Parameters, policy: Policy
) -> None:
    model = small_cnn(parameters, policy)
    whole = embed(model, images, policy, batch_size=64)
    alone = embed(model, images, policy, batch_size=1)
    torch.testing.assert_close(whole, alone)
    assert whole.shape == (70, 2)


def test_batch_statistics_are_those_of_consecutive_thirtieths(
    images: DeviceImages, parameters: Parameters, policy: Policy
) -> None:
    model = small_cnn(parameters, policy)
    published = embed(model, images, policy, batch_size=64, batch_statistics=True)
    model.train()
    with policy.active(), torch.no_grad():
        by_hand = torch.cat([model(images.take(slice(i, i + 2))) for i in range(0, 70, 2)])
    torch.testing.assert_close(published, by_hand.cpu())
    plain = embed(model, images, policy, batch_size=64)
    assert not torch.allclose(published, plain, atol=1e-3)


def test_batch_statistics_leave_dropout_alone(images: DeviceImages, policy: Policy) -> None:
    model = policy.place(nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(), nn.Flatten()))
    embeddings = embed(model, images, policy, batch_size=64, batch_statistics=True)
    assert (embeddings != 0).all()


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("batch_statistics", [True, False])
def test_no_images_have_embeddings_of_their_dimension(
    parameters: Parameters, policy: Policy, backbone: str, batch_statistics: bool
) -> None:
    student = parameters.student.model_copy(update={"backbone": backbone})
    model = policy.place(build_embedder(0, (1, 16, 16), student))
    none = DeviceImages(torch.zeros(0, 1, 16, 16, dtype=torch.uint8), None, policy.device)
    found = embed(model, none, policy, batch_size=64, batch_statistics=batch_statistics)
    assert found.shape == (0, 2)


def test_teacher_embeds_the_asked_images_in_their_order(
    images: DeviceImages,
    policy: Policy,
    parameters: Parameters,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(CLASS_BATCH, policy.device.type, 2)
    gemini = policy.place(Gemini(0, (1, 8, 8), 4, parameters.gemini, 2))
    labels = 2 * (torch.arange(70) % 2) + 1  # (no image of class 0 or 2)
    indices = torch.tensor([69, 0, 33, 34, 2, 5, 7])
    embeddings = embed_by_class(gemini, images, labels, indices, policy)
    with policy.active(), torch.no_grad():
        for row, index in enumerate(indices.tolist()):
            stream = gemini.streams[int(labels[index])]
            alone = gemini.head(stream(images.take(torch.tensor([index]))))
            torch.testing.assert_close(embeddings[row], alone[0].cpu())


def test_one_image_alone_has_no_batch_statistics(parameters: Parameters, policy: Policy) -> None:
    model = policy.place(build_embedder(0, (1, 8, 8), parameters.student))
    images = DeviceImages(torch.full((1, 1, 8, 8), 7, dtype=torch.uint8), None, policy.device)
    found = embed(model, images, policy, batch_size=64, batch_statistics=True)
    assert found.equal(embed(model, images, policy, batch_size=64))


@pytest.mark.parametrize("count", [61, 31, 2, 1])
def test_batch_statistics_of_a_last_single_image_are_those_of_the_batch_before(
    parameters: Parameters, policy: Policy, count: int
) -> None:
    pixels = torch.randint(0, 256, (count, 1, 8, 8), dtype=torch.uint8)
    model = small_cnn(parameters, policy)
    images = DeviceImages(pixels, None, policy.device)
    embeddings = embed(model, images, policy, batch_size=64, batch_statistics=True)
    assert embeddings.shape == (count, 2)
    if count > 2:
        model.train()
        with policy.active(), torch.no_grad():
            last = model(images.take(slice(count - 3, count)))
        torch.testing.assert_close(embeddings[-3:], last.cpu())
