from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from guided_dml.errors import InputError
from guided_dml.parameters import DataParameters, Parameters
from guided_dml.pipelines.ingestion.nodes import (
    fit_normalisation,
    prepare_images,
    score_raw_pixels,
    split_training_set,
)
from guided_dml.types import LabelledImages

Make = Callable[..., LabelledImages]


def data(cap: int | None = None, share: float = 0.0) -> DataParameters:
    return DataParameters(images_per_class=cap, validation_share=share, raw_pixel_training=False)


def relabelled(images: LabelledImages, labels: Any, classes: list[str]) -> LabelledImages:
    return images._replace(labels=np.asarray(labels), classes=classes)


def test_all_images_are_kept_without_a_cap(make_images: Make) -> None:
    raw_train, raw_test = make_images(12)._replace(facts={"source": "here"}), make_images(4)
    train, test, classes, report = prepare_images(raw_train, raw_test, data(), 0)
    for kept, raw in ((train, raw_train), (test, raw_test)):
        assert np.array_equal(kept["images"].numpy(), raw.images)
        assert np.array_equal(kept["labels"].numpy(), raw.labels)
        assert kept["images"].dtype == torch.uint8
        assert kept["labels"].dtype == torch.int64
    assert classes == ["class 0", "class 1", "class 2"]
    assert report["image_shape"] == [1, 8, 8]
    assert report["train"] == {
        "source": "here",
        "images_read": 36,
        "images": 36,
        "images_of_class": dict.fromkeys(classes, 12),
    }


@pytest.mark.parametrize("cap", [2, 5, 12, 100])
def test_the_cap_keeps_a_stratified_sample(make_images: Make, cap: int) -> None:
    raw_train, raw_test = make_images(12), make_images(3)
    train, test, _, report = prepare_images(raw_train, raw_test, data(cap), 0)
    for kept, raw, count in ((train, raw_train, 12), (test, raw_test, 3)):
        assert kept["labels"].bincount().tolist() == [min(cap, count)] * 3
        of_image = {
            image.tobytes(): label for image, label in zip(raw.images, raw.labels, strict=True)
        }
        chosen = [image.numpy().tobytes() for image in kept["images"]]
        assert len(set(chosen)) == len(chosen) == 3 * min(cap, count)
        assert [of_image[image] for image in chosen] == kept["labels"].tolist()
    assert report["train"]["images_read"] == 36
    assert report["train"]["images"] == 3 * min(cap, 12)


def test_the_cap_chooses_by_the_seed_and_at_random(make_images: Make) -> None:
    raw = make_images(12)
    first, again, other = (prepare_images(raw, raw, data(5), seed)[0] for seed in (1, 1, 2))
    assert torch.equal(first["images"], again["images"])
    assert not torch.equal(first["images"], other["images"])
    assert not np.array_equal(first["images"][:5].numpy(), raw.images[:5])


def test_classes_are_matched_by_name(make_images: Make) -> None:
    raw_train = relabelled(make_images(3), np.repeat([2, 0, 3], 3), ["dog", "eel", "ant", "cat"])
    raw_test = relabelled(make_images(1), [1, 0, 2], ["cat", "dog", "ant"])
    train, test, classes, report = prepare_images(raw_train, raw_test, data(), 0)
    assert classes == ["dog", "ant", "cat"]
    assert [classes[label] for label in train["labels"]] == ["ant"] * 3 + ["dog"] * 3 + ["cat"] * 3
    assert [classes[label] for label in test["labels"]] == ["dog", "cat", "ant"]
    assert report["test"]["images_of_class"] == {"dog": 1, "ant": 1, "cat": 1}


def test_a_class_may_lack_test_images(make_images: Make) -> None:
    raw_test = relabelled(make_images(2, 1), [0, 0], ["class 1"])
    _, test, classes, report = prepare_images(make_images(), raw_test, data(), 0)
    assert test["labels"].tolist() == [1, 1]
    assert len(classes) == 3
    assert report["test"]["images_of_class"] == {"class 0": 0, "class 1": 2, "class 2": 0}


Change = Callable[[LabelledImages], LabelledImages]
same: Change = lambda raw: raw  # noqa: E731


@pytest.mark.parametrize(
    ("train", "test", "words"),
    [
        (
            same,
            lambda raw: raw._replace(classes=["owl", "class 1", "emu"]),
            "test set has classes without a training image: emu, owl",
        ),
        (
            lambda raw: raw._replace(labels=raw.labels * 0),
            lambda raw: raw._replace(labels=raw.labels * 0),
            "a single class, 'class 0'",
        ),
        (
            lambda raw: raw._replace(labels=np.array([0] * 17 + [1] + [2] * 18)),
            same,
            "class 'class 1' has 1 training image: a triplet needs two",
        ),
        (
            same,
            lambda raw: raw._replace(images=raw.images[..., :7]),
            "training images are (1, 8, 8) (channels, height, width), the test images (1, 8, 7)",
        ),
        (
            same,
            lambda raw: raw._replace(images=raw.images.repeat(3, 1)),
            "the test images (3, 8, 8)",
        ),
        (
            lambda raw: raw._replace(images=raw.images / 255),
            same,
            "training set: images are float64; uint8 (0-255) is needed",
        ),
        (
            same,
            lambda raw: raw._replace(images=raw.images.astype(np.uint16)),
            "test set: images are uint16",
        ),
        (
            lambda raw: raw._replace(images=raw.images.repeat(2, 1)),
            same,
            "training set: images have shape (36, 2, 8, 8)",
        ),
        (
            lambda raw: raw._replace(images=raw.images[:, 0]),
            same,
            "training set: images have shape (36, 8, 8)",
        ),
        (
            same,
            lambda raw: raw._replace(images=raw.images[:0], labels=raw.labels[:0]),
            "test set: images have shape (0, 1, 8, 8)",
        ),
        (
            lambda raw: raw._replace(labels=raw.labels[:-1]),
            same,
            "training set: 36 images, but 35 labels",
        ),
        (
            same,
            lambda raw: raw._replace(labels=raw.labels + 1),
            "test set: labels from 1 to 3; 0 to 2 are allowed",
        ),
        (
            lambda raw: raw._replace(labels=raw.labels - 1),
            same,
            "training set: labels from -1 to 1; 0 to 2 are allowed",
        ),
    ],
)
def test_what_cannot_be_learned_from_is_refused(
    make_images: Make, train: Change, test: Change, words: str
) -> None:
    with pytest.raises(InputError) as caught:
        prepare_images(train(make_images()), test(make_images()), data(), 0)
    assert words in str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("counts", [(2, 2), (3, 10, 40), (100, 7)])
def test_the_validation_set_is_stratified(counts: tuple[int, ...], share: float) -> None:
    labels = torch.repeat_interleave(torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]
    split = split_training_set({"labels": labels}, data(share=share), 0)
    train, validation = split["train"].tolist(), split["validation"].tolist()
    assert split["train"].dtype == split["validation"].dtype == torch.int64
    assert sorted(train + validation) == list(range(len(labels)))
    assert train == sorted(train)
    assert validation == sorted(validation)
    for label, count in enumerate(counts):
        held_out = int((labels[split["validation"]] == label).sum())
        wanted = max(1, share * count) if share else 0
        assert held_out <= count - 2
        assert held_out == count - 2 or abs(held_out - wanted) <= 0.5


def test_two_images_of_a_class_are_both_trained_on() -> None:
    labels = torch.tensor([0, 1, 0, 1])
    split = split_training_set({"labels": labels}, data(share=0.1), 0)
    assert split["train"].tolist() == [0, 1, 2, 3]
    assert split["validation"].tolist() == []


def test_the_split_seed_fixes_the_split() -> None:
    labels = torch.arange(3).repeat(20)
    first, again, other = (
        split_training_set({"labels": labels}, data(share=0.3), seed)["validation"]
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("channels", [1, 3])
def test_normalisation_is_numpys_over_the_training_part(channels: int) -> None:
    images = np.random.default_rng(0).integers(0, 200, (30, channels, 7, 5), dtype=np.uint8)
    images[::3] += 50
    rows = np.flatnonzero(np.arange(30) % 3)
    fitted = fit_normalisation(
        {"images": torch.from_numpy(images)}, {"train": torch.from_numpy(rows)}
    )
    expected = images[rows].astype(np.float64)
    assert fitted["mean"] == pytest.approx(expected.mean((0, 2, 3)), abs=1e-9)
    assert fitted["std"] == pytest.approx(expected.std((0, 2, 3)), abs=1e-9)
    assert fitted["mean"] != pytest.approx(images.mean((0, 2, 3)), abs=1)


@pytest.mark.parametrize("level", [0, 7, 255])
def test_a_constant_channel_has_a_deviation_of_one(level: int) -> None:
    images = torch.randint(0, 256, (20, 3, 7, 3), dtype=torch.uint8)
    images[:, 1] = level
    fitted = fit_normalisation({"images": images}, {"train": torch.arange(20)})
    assert fitted["mean"][1] == level
    assert fitted["std"][1] == 1.0
    assert fitted["std"][0] != 1.0


@pytest.mark.parametrize("shape", [(1, 2, 2), (1, 8, 8), (3, 5, 5)])
def test_the_pixel_score_equals_a_slow_loop(
    parameters: Parameters, shape: tuple[int, int, int]
) -> None:
    rng = np.random.default_rng(1)
    labels = {"train": rng.integers(0, 3, 40), "test": np.repeat([0, 1, 2], [20, 5, 2])}
    parts = {
        name: {
            "images": (6 * its[:, None, None, None] + rng.integers(0, 99, (len(its), *shape))),
            "labels": its,
        }
        for name, its in labels.items()
    }
    right: dict[int, list[bool]] = {0: [], 1: [], 2: []}
    for image, label in zip(parts["test"]["images"], labels["test"], strict=True):
        distances = [int(((image - other) ** 2).sum()) for other in parts["train"]["images"]]
        right[int(label)].append(labels["train"][int(np.argmin(distances))] == label)
    train, test = (
        {
            "images": torch.from_numpy(part["images"].astype(np.uint8)),
            "labels": torch.from_numpy(part["labels"]),
        }
        for part in parts.values()
    )
    compute = parameters.compute.model_copy(update={"device": "cpu"})
    scores = score_raw_pixels(train, test, compute)
    accuracy = np.mean([hit for hits in right.values() for hit in hits])
    assert scores["accuracy"] == pytest.approx(accuracy, abs=1e-12)
    macro = np.mean([np.mean(hits) for hits in right.values()])
    assert scores["recall_at_1"] == pytest.approx(macro, abs=1e-12)
    assert macro != accuracy
    assert 0 < accuracy < 1


def test_what_is_kept_can_be_stored_whatever_the_readers_layout(make_images: Make) -> None:
    """torchvision's SVHN is a transposed view, and safetensors takes contiguous tensors only."""
    raw = make_images(5)
    turned = raw._replace(images=np.asfortranarray(raw.images))
    for part in prepare_images(turned, turned, data(3), 0)[:2]:
        assert all(tensor.is_contiguous() for tensor in part.values())
        safetensors.torch.save(part)
