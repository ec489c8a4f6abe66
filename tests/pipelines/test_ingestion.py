from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable
from fractions import Fraction
from typing import Any
from unicodedata import normalize

import numpy as np
import pytest
import safetensors.torch
import torch

from guided_dml.blocks import DataParameters
from guided_dml.datasets.digits import DigitsDataset
from guided_dml.errors import InputError
from guided_dml.parameters import Parameters
from guided_dml.pipelines.ingestion.nodes import (
    Prepared,
    fit_normalisation,
    prepare_images,
    score_raw_pixels,
    split_training_set,
)
from guided_dml.types import LabelledImages, Tensors

Make = Callable[..., LabelledImages]
Change = Callable[[LabelledImages], LabelledImages]


#: What of the images is the test set, and that all are kept.
WHOLE = (0.25, None)


def prepare(
    raw: LabelledImages, share: float, cap: int | None, seed: int
) -> tuple[Tensors, Tensors, dict[str, list[str]], list[str], dict[str, Any]]:
    """Prepare all classes of the images, as they are."""
    return prepare_images(raw, share, cap, None, None, seed)[:5]


def in_parts(raw: LabelledImages) -> LabelledImages:
    """Return the images with every fourth as the published test part."""
    return raw._replace(test=np.arange(len(raw.labels)) % 4 == 3)


def test_a_published_test_part_is_kept(make_images: Make) -> None:
    raw = in_parts(make_images(12))._replace(facts={"source": "here"})
    assert raw.test is not None
    train, test, names, classes, report = prepare(raw, *WHOLE, 0)
    for part, kept, rows in (("train", train, ~raw.test), ("test", test, raw.test)):
        assert np.array_equal(kept["images"].numpy(), raw.images[rows])
        assert np.array_equal(kept["labels"].numpy(), raw.labels[rows])
        assert kept["images"].dtype == torch.uint8
        assert kept["labels"].dtype == torch.int64
        assert names[part] == np.array(raw.names)[rows].tolist()
    assert classes == ["class 0", "class 1", "class 2"]
    assert report["source"] == "here"
    assert report["fingerprint"] == raw.fingerprint()
    assert report["image_shape"] == [1, 8, 8]
    assert report["train"] == {
        "images_read": 27,
        "images": 27,
        "images_of_class": dict.fromkeys(classes, 9),
    }
    assert report["parameters"]["test_share"] == 0.25


@pytest.mark.parametrize("share", [0.1, 1 / 3, 0.77])
@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_else_a_stratified_share_is_the_test_set(
    make_images: Make, share: float, seed: int
) -> None:
    raw = make_images(20)
    train, test, names, *_ = prepare(raw, share, None, seed)
    assert sorted(names["train"] + names["test"]) == sorted(raw.names)
    assert np.abs(test["labels"].bincount().numpy() - share * 20).max() <= 1
    for part, kept in (("train", train), ("test", test)):
        rows = [raw.names.index(name) for name in names[part]]
        assert rows == sorted(rows)
        assert np.array_equal(kept["images"].numpy(), raw.images[rows])
        assert np.array_equal(kept["labels"].numpy(), raw.labels[rows])
    again, other = (prepare(raw, share, None, s)[2] for s in (seed, 5))
    assert again == names != other


@pytest.mark.parametrize(
    ("seed", "share", "expected"),
    [
        (0, 0.2, ["cf523fcf146ab6c4", "99ac20baf448e93e"]),
        (7, 0.5, ["b1cec6468edd5c21", "ec64d1513047a3ff"]),
    ],
)
def test_the_digits_are_split_as_in_all_stored_results(
    seed: int, share: float, expected: list[str]
) -> None:
    parts = prepare(DigitsDataset().load(), share, None, seed)[:2]
    contents = (
        part["images"].numpy().tobytes() + part["labels"].numpy().tobytes() for part in parts
    )
    assert [hashlib.sha256(content).hexdigest()[:16] for content in contents] == expected


@pytest.mark.parametrize("cap", [2, 5, 12, 100])
def test_the_cap_keeps_a_stratified_sample(make_images: Make, cap: int) -> None:
    raw = in_parts(make_images(16))
    train, test, names, _, report = prepare(raw, 0.25, cap, 0)
    for part, kept, count in (("train", train, 12), ("test", test, 4)):
        assert kept["labels"].bincount().tolist() == [min(cap, count)] * 3
        rows = [raw.names.index(name) for name in names[part]]
        assert len(set(rows)) == len(rows)
        assert np.array_equal(kept["images"].numpy(), raw.images[rows])
        assert np.array_equal(kept["labels"].numpy(), raw.labels[rows])
    assert report["train"]["images_read"] == 36
    assert report["train"]["images"] == 3 * min(cap, 12)


def test_the_cap_chooses_by_the_seed_and_at_random(make_images: Make) -> None:
    raw = in_parts(make_images(16))
    first, again, other = (prepare(raw, 0.25, 5, seed)[0] for seed in (1, 1, 2))
    assert torch.equal(first["images"], again["images"])
    assert not torch.equal(first["images"], other["images"])
    assert not np.array_equal(first["images"][:5].numpy(), raw.images[:5])


def test_what_a_reader_changed_is_counted_in_its_part(make_images: Make) -> None:
    raw = in_parts(make_images(12))
    assert raw.test is not None
    raw = raw._replace(changed={"turned": raw.test, "resized": np.arange(36) < 5})
    report = prepare(raw, *WHOLE, 0)[-1]
    assert (report["train"]["turned"], report["test"]["turned"]) == (0, 9)
    assert (report["train"]["resized"], report["test"]["resized"]) == (4, 1)


def test_classes_without_a_training_image_are_left_out(make_images: Make) -> None:
    raw = in_parts(make_images(12))._replace(
        labels=np.repeat([4, 2, 1], 12), classes=["ant", "bee", "cat", "dog", "eel"]
    )
    train, test, _, classes, report = prepare(raw, *WHOLE, 0)
    assert classes == ["bee", "cat", "eel"]
    assert train["labels"].tolist() == [2] * 9 + [1] * 9 + [0] * 9
    assert test["labels"].tolist() == [2] * 3 + [1] * 3 + [0] * 3
    assert report["test"]["images_of_class"] == {"bee": 3, "cat": 3, "eel": 3}


def test_a_class_may_lack_test_images(make_images: Make) -> None:
    raw = make_images(12)._replace(test=np.arange(36) == 12)
    _, test, _, classes, report = prepare(raw, *WHOLE, 0)
    assert test["labels"].tolist() == [1]
    assert len(classes) == 3
    assert report["test"]["images_of_class"] == {"class 0": 0, "class 1": 1, "class 2": 0}


def renamed(*names: Any) -> Change:
    return lambda raw: raw._replace(classes=list(names))


NFC, NFD = (normalize(form, "caf\xe9") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda raw: raw._replace(test=raw.labels > 0),
            "test set has classes without a training image: class 1, class 2",
        ),
        (lambda raw: raw._replace(labels=raw.labels * 0), "a single class, 'class 0'"),
        (
            lambda raw: in_parts(raw._replace(labels=np.array([0] * 17 + [1] + [2] * 18))),
            "class 'class 1' has 1 training image: a triplet needs two",
        ),
        (
            lambda raw: raw._replace(labels=np.array([0] * 17 + [1] + [2] * 18)),
            "class 'class 1' has 1 images, too few to be in both parts with data.test_share 0.25",
        ),
        (
            lambda raw: raw._replace(labels=np.array([0] * 34 + [1, 1])),
            "class 'class 1' has 2 images, too few",
        ),
        (lambda raw: raw._replace(test=raw.labels < 0), "none of 36 images is a test image"),
        (lambda raw: raw._replace(test=raw.labels >= 0), "none of 36 images is a training image"),
        (lambda raw: raw._replace(images=raw.images / 255), "images are float64; uint8 (0-255)"),
        (
            lambda raw: raw._replace(images=raw.images.astype(np.uint16)),
            "images are uint16; uint8 (0-255) is needed",
        ),
        (
            lambda raw: raw._replace(images=raw.images.repeat(2, 1)),
            "images have shape (36, 2, 8, 8)",
        ),
        (lambda raw: raw._replace(images=raw.images[:, 0]), "images have shape (36, 8, 8)"),
        (
            lambda raw: raw._replace(images=raw.images[:0], labels=raw.labels[:0]),
            "images have shape (0, 1, 8, 8)",
        ),
        (lambda raw: raw._replace(labels=raw.labels[:-1]), "36 images, but 35 labels"),
        (lambda raw: raw._replace(labels=raw.labels / 1), "but 36 labels (float64)"),
        (lambda raw: raw._replace(labels=raw.labels + 1), "labels from 1 to 3; 0 to 2 are allowed"),
        (lambda raw: raw._replace(labels=raw.labels - 1), "labels from -1 to 1; 0 to 2"),
        (lambda raw: raw._replace(names=raw.names[1:]), "36 images, but 35 values of 'names'"),
        (lambda raw: raw._replace(test=raw.labels[1:] > 0), "but 35 values of 'test'"),
        (lambda raw: raw._replace(changed={"turned": raw.labels[1:] > 0}), "values of 'turned'"),
        (renamed("a", "b", "a"), "two classes look the same, 'a': 'a' and 'a'; rename one"),
        (renamed("a", NFC, NFD), r"'caf\xe9' and 'cafe\u0301'"),
        (renamed("a", "b c", "b\xa0 c "), r"'b c' and 'b\xa0 c '"),
        (renamed("a", "b", "b\u200b"), r"'b' and 'b\u200b'"),
        (renamed("a", "", "c"), "class '': its name is blank"),
        (renamed("a", " \u3000", "c"), r"class ' \u3000': its name is blank"),
        (renamed("a", "\u200b", "c"), r"class '\u200b': its name is blank"),
        (renamed("a", "b\0", "c"), r"class 'b\x00': its name is blank, not UTF-8, or has control"),
        (renamed("a", "b\nc", "c"), r"class 'b\nc': its name"),
        (renamed("a", "b\u2028c", "c"), r"class 'b\u2028c': its name"),
        (renamed("a", os.fsdecode(b"\xe9t\xe9"), "c"), r"class '\udce9t\udce9': its name"),
        (renamed("a", 1, "c"), "class 1: its name is no text"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(
    make_images: Make, change: Change, words: str
) -> None:
    with pytest.raises(InputError) as caught:
        prepare(change(make_images()), *WHOLE, 0)
    assert words in str(caught.value)
    str(caught.value).encode()


@pytest.mark.parametrize(
    "names", [("$$", "<!--<script>", "a" * 300), ("\xe9", " b", "\U0001f469\u200d\U0001f52c")]
)
def test_names_that_can_be_told_apart_are_stored(make_images: Make, names: tuple[str]) -> None:
    raw = in_parts(make_images())._replace(classes=list(names))
    raw.names[0] = os.fsdecode(b"caf\xe9.png")
    _, _, images, classes, report = prepare(raw, *WHOLE, 0)
    assert json.loads(json.dumps(classes)) == list(names)
    assert list(json.loads(json.dumps(report))["train"]["images_of_class"]) == list(names)
    assert images["train"][0] == r"caf\udce9.png"


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("counts", [(2, 2), (3, 10, 40), (100, 7)])
def test_the_validation_set_is_stratified(counts: tuple[int, ...], share: float) -> None:
    labels = torch.repeat_interleave(torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]
    split = split_training_set({"labels": labels}, share, 0)
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
    split = split_training_set({"labels": labels}, 0.1, 0)
    assert split["train"].tolist() == [0, 1, 2, 3]
    assert split["validation"].tolist() == []


def test_the_split_seed_fixes_the_split() -> None:
    labels = torch.arange(3).repeat(20)
    first, again, other = (
        split_training_set({"labels": labels}, 0.3, seed)["validation"] for seed in (1, 1, 2)
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


def test_normalisation_is_the_same_on_every_machine_to_the_last_bit() -> None:
    # Of these values the product of numpy's vectors is another in the last place.
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (50, 1, 9, 9), np.uint8))
    values = list(map(int, images.flatten()))
    fitted = fit_normalisation({"images": images}, {"train": torch.arange(50)})
    mean = Fraction(sum(values), len(values))
    variance = sum((value - mean) ** 2 for value in values) / len(values)
    assert fitted == {"mean": [float(mean)], "std": [math.sqrt(variance)]}


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


@pytest.mark.parametrize("rows", [np.arange(15) % 3 == 0, np.arange(15) >= 11])
def test_what_is_kept_can_be_stored_whatever_the_readers_layout(
    make_images: Make, rows: np.ndarray
) -> None:
    """torchvision's SVHN is a transposed view, and safetensors takes contiguous tensors only."""
    raw = make_images(5)
    turned = raw._replace(
        images=np.asfortranarray(raw.images), labels=np.arange(15) % 3 // 2, test=rows
    )
    for part in prepare(turned, *WHOLE, 0)[:2]:
        assert all(tensor.is_contiguous() for tensor in part.values())
        safetensors.torch.save(part)


def of_classes(raw: LabelledImages, *names: str) -> Prepared:
    return prepare_images(raw, 0.25, None, list(names), None, 0)


def test_some_classes_are_trained_on_and_the_others_kept_apart(make_images: Make) -> None:
    raw = make_images(12, classes=5)
    some = of_classes(raw, "class 4", "class 1")
    assert some.classes == ["class 1", "class 4"]
    assert some.unseen_classes == ["class 0", "class 2", "class 3"]
    every = prepare(raw, *WHOLE, 0)[:2]
    parts = (
        (some.train_images, some.unseen_train_images),
        (some.test_images, some.unseen_test_images),
    )
    for whole, both in zip(every, parts, strict=True):
        for part, numbers in zip(both, ([1, 4], [0, 2, 3]), strict=True):
            rows = torch.isin(whole["labels"], torch.tensor(numbers))
            assert torch.equal(part["images"], whole["images"][rows])
            assert torch.equal(torch.tensor(numbers)[part["labels"]], whole["labels"][rows])
    assert some.data_report["train"] == {
        "images_read": 18,
        "images": 18,
        "images_of_class": {"class 1": 9, "class 4": 9},
    }
    assert some.data_report["unseen"]["test"]["images_of_class"] == dict.fromkeys(
        some.unseen_classes, 3
    )
    assert some.data_report["parameters"]["classes"] == ["class 4", "class 1"]
    assert len(some.image_names["train"]) == 18


@pytest.mark.parametrize("names", [None, ["class 2", "class 0", "class 1"]])
def test_all_classes_leave_none_unseen(make_images: Make, names: list[str] | None) -> None:
    made = prepare_images(make_images(), 0.25, None, names, None, 0)
    assert made.unseen_classes == []
    for part in (made.unseen_train_images, made.unseen_test_images):
        stored = safetensors.torch.load(safetensors.torch.save(part))
        assert (stored["images"].shape, stored["images"].dtype) == ((0, 1, 8, 8), torch.uint8)
        assert (stored["labels"].shape, stored["labels"].dtype) == ((0,), torch.int64)
    assert made.classes == ["class 0", "class 1", "class 2"]
    assert "unseen" not in made.data_report


def test_which_images_of_a_class_are_kept_depends_on_no_other_class(make_images: Make) -> None:
    raw = make_images(40, 4)
    _, every, names, *_ = prepare_images(raw, 0.25, 3, None, None, 0)
    _, some, of_some, *_ = prepare_images(raw, 0.25, 3, ["class 1", "class 3"], None, 0)
    wanted = torch.isin(every["labels"], torch.tensor([1, 3]))
    assert some["images"].equal(every["images"][wanted])
    assert of_some["test"] == np.array(names["test"])[wanted.numpy()].tolist()


def test_a_test_part_of_zeros_and_ones_is_refused(make_images: Make) -> None:
    raw = in_parts(make_images(12))
    assert raw.test is not None
    with pytest.raises(InputError, match="values of 'test' are no truth values"):
        prepare(raw._replace(test=raw.test.astype(int)), *WHOLE, 0)


def test_the_cap_holds_for_unseen_classes_too(make_images: Make) -> None:
    made = prepare_images(make_images(), 0.25, 2, ["class 0", "class 1"], None, 0)
    for part in (made.unseen_train_images, made.unseen_test_images):
        assert part["labels"].tolist() == [0, 0]


def test_an_accent_may_be_a_letter_of_its_own(make_images: Make, parameters: Parameters) -> None:
    raw, (apart, together) = make_images(), (normalize(form, "café") for form in ("NFD", "NFC"))
    data = parameters.data.model_dump() | {"classes": [apart, "class 1"]}
    made = of_classes(
        raw._replace(classes=[apart, *raw.classes[1:]]), *DataParameters(**data).classes or []
    )
    assert made.classes == [together, "class 1"]


def test_a_class_that_there_is_not_is_refused_with_the_known(make_images: Make) -> None:
    words = r"class in data.classes 'class 9'; did you mean .*known: class 0, class 1, class 2"
    with pytest.raises(InputError, match=words):
        of_classes(make_images(), "class 1", "class 9")


@pytest.mark.parametrize("factor", [2, 7.5, 20])
def test_a_long_tail_falls_as_its_formula_and_leaves_the_test_set(
    make_images: Make, factor: float
) -> None:
    raw = make_images(per_class=80, classes=4)
    whole = prepare(raw, *WHOLE, 3)
    made = prepare_images(raw, 0.25, None, None, factor, 3)
    tail = made.data_report["long_tail"]
    assert list(tail.values()) == [int(60 * factor ** -(c / 3) + 1e-9) for c in range(4)]
    assert sorted(tail) == made.classes
    assert made.data_report["train"]["images_of_class"] == tail
    assert torch.equal(made.test_images["images"], whole[1]["images"])
    rows = [whole[2]["train"].index(name) for name in made.image_names["train"]]
    assert rows == sorted(set(rows))
    assert torch.equal(made.train_images["images"], whole[0]["images"][rows])
    orders = {
        tuple(prepare_images(raw, 0.25, None, None, factor, seed).data_report["long_tail"])
        for seed in range(6)
    }
    assert len(orders) > 1


def test_a_long_tail_begins_at_the_smallest_class_and_at_the_cap(make_images: Make) -> None:
    raw = make_images(per_class=40)
    raw = in_parts(raw._replace(labels=np.repeat([0, 1, 2], [60, 40, 20])))
    tails = [
        prepare_images(raw, 0.25, cap, None, 4, 0).data_report["long_tail"] for cap in (None, 12)
    ]
    assert [list(tail.values()) for tail in tails] == [[15, 7, 3], [12, 6, 3]]


def test_a_tail_of_classes_that_are_too_small_is_refused(make_images: Make) -> None:
    words = r"imbalance_factor: 10 given; class 'class .' would keep 0 of .* 9, .*4\.5 at most"
    with pytest.raises(InputError, match=words):
        prepare_images(make_images(), 0.25, None, None, 10, 0)
    at_most = prepare_images(make_images(), 0.25, None, None, 4.5, 0)
    assert min(at_most.data_report["long_tail"].values()) == 2


def test_where_no_tail_is_possible_none_is_offered(make_images: Make) -> None:
    with pytest.raises(InputError, match=r"has 2, so none has a tail; give .*=null, or"):
        prepare_images(make_images(), 0.25, 2, None, 1.5, 0)


def test_chosen_classes_without_a_test_image_are_refused(make_images: Make) -> None:
    raw = make_images()
    raw = raw._replace(test=(raw.labels == 2) & (np.arange(len(raw.labels)) % 2 == 0))
    first, second, *_ = raw.classes
    with pytest.raises(InputError, match=rf"data\.classes: none of {first}, {second} has a test"):
        prepare_images(raw, 0.25, None, [first, second], None, 0)
