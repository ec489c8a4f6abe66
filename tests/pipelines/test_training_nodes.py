"""What the training nodes optimise, against slow versions of the same."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from cards import card_of
from guided_dml.blocks import GeminiParameters, StudentParameters, Task
from guided_dml.comparison.sessions import merged
from guided_dml.errors import DivergedError, InputError
from guided_dml.losses import gemini_loss
from guided_dml.methods import METHODS
from guided_dml.methods.anchors import Anchors
from guided_dml.models.airbench import Airbench
from guided_dml.models.backbones import build_embedder, embedder_of
from guided_dml.models.gemini import Gemini
from guided_dml.parameters import Parameters, validated
from guided_dml.pipelines.evaluation.nodes import embed_images, score_embeddings
from guided_dml.pipelines.gemini.nodes import train_gemini
from guided_dml.pipelines.ingestion.nodes import (
    fit_normalisation,
    prepare_images,
    split_training_set,
)
from guided_dml.pipelines.student.nodes import train_student
from guided_dml.pipelines.teacher_embeddings.nodes import embed_with_gemini
from guided_dml.pipelines.triplets.nodes import draw_triplets
from guided_dml.training import train
from guided_dml.training.batches import DeviceImages
from guided_dml.training.checkpoints import CheckpointStore
from guided_dml.types import History, LabelledImages, Tensors

#: So small a rate that the losses of the first epoch are those of the initial weights.
STILL = {"epochs": 1, "learning_rate": 1e-12, "momentum": 0.0, "schedule": "constant"}


@pytest.fixture
def parameters(parameters: Parameters) -> Parameters:
    """Precise enough to compare losses with slow versions."""
    exact = parameters.compute.model_copy(update={"precision": "float32"})
    return parameters.model_copy(update={"compute": exact})


@pytest.fixture
def inputs(make_images: Callable[..., LabelledImages], parameters: Parameters) -> dict[str, Any]:
    raw = make_images(per_class=20, classes=3)
    train, test, *_ = prepare_images(raw, 0.2, None, None, None, 0)
    split = split_training_set(train, 0.1, 0)
    return {
        "train": train,
        "test": test,
        "split": split,
        "normalisation": fit_normalisation(train, split),
        "triplets": draw_triplets(train, split, list("abc"), parameters.triplets, seed=0),
    }


def normalised(images: Tensors, normalisation: dict[str, list[float]]) -> torch.Tensor:
    mean, std = (torch.tensor(normalisation[name]).view(1, -1, 1, 1) for name in ("mean", "std"))
    return (images["images"].float() - mean) / std


def trained(
    inputs: dict[str, Any],
    parameters: Parameters,
    method: str,
    student: StudentParameters,
    teacher: Tensors | None = None,
    store: CheckpointStore | None = None,
) -> tuple[Any, ...]:
    return train_student(
        inputs["train"],
        inputs["normalisation"],
        inputs["split"],
        list("abc"),
        {},
        student,
        getattr(parameters, method).model_dump(),
        False,
        False,
        parameters.compute,
        7,
        store,
        teacher,
        method=method,
    )


def taught(
    inputs: dict[str, Any],
    parameters: Parameters,
    settings: GeminiParameters,
    store: CheckpointStore | None = None,
    *,
    raw_pixels: bool = False,
) -> tuple[Tensors, History]:
    return train_gemini(
        inputs["train"],
        inputs["normalisation"],
        inputs["triplets"],
        inputs["split"],
        settings,
        2,
        raw_pixels,
        parameters.compute,
        5,
        store,
    )


@pytest.mark.parametrize("raw_pixels", [False, True])
def test_gemini_is_trained_on_each_pairs_own_streams(
    inputs: dict[str, Any], parameters: Parameters, raw_pixels: bool
) -> None:
    settings = parameters.gemini.model_copy(update=STILL)
    train, normalisation, triplets = (inputs[n] for n in ("train", "normalisation", "triplets"))
    _, history = taught(inputs, parameters, settings, raw_pixels=raw_pixels)
    images = train["images"].float() if raw_pixels else normalised(train, normalisation)
    model = Gemini(5, (1, 8, 8), 3, settings, 2)
    losses = []
    for row, (same, other) in enumerate(triplets["classes"].tolist()):
        with torch.no_grad():
            h_a, h_p, h_n = (
                model.streams[label](images[triplets[name][row]])
                for name, label in (("anchors", same), ("positives", same), ("negatives", other))
            )
            z = [model.head(h) for h in (h_a, h_p, h_n)]
            loss = gemini_loss(h_a, h_p, *z, beta=settings.beta, margin=settings.margin)
        losses.append(loss.item())
    assert history["loss"].item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert history["images_seen"].item() == 3 * triplets["anchors"].numel()


class KilledError(Exception):
    pass


def killing_at(step: int) -> Callable[..., torch.Tensor]:
    """Return GEMINI's loss, which ends the training at a step."""
    steps = count(1)

    def killing(*embeddings: torch.Tensor, beta: float, margin: float) -> torch.Tensor:
        if next(steps) == step:
            raise KilledError
        return gemini_loss(*embeddings, beta=beta, margin=margin)

    return killing


@pytest.mark.parametrize("fresh", [False, True])
def test_a_killed_gemini_ends_as_if_never_killed(
    inputs: dict[str, Any],
    parameters: Parameters,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fresh: bool,
) -> None:
    changes = {"epochs": 4, "momentum": 0.9, "schedule": "one_cycle", "fresh_triplets": fresh}
    settings = parameters.gemini.model_copy(update=changes)
    weights, history = taught(inputs, parameters, settings)
    for killed_at in (1, 6, 7, 15, 24):  # (6 pairs an epoch)
        store = CheckpointStore(tmp_path / f"{killed_at}", interval=0)
        with monkeypatch.context() as patch:
            patch.setattr("guided_dml.losses.gemini_loss", killing_at(killed_at))
            with pytest.raises(KilledError):
                taught(inputs, parameters, settings, store)
        resumed, its_history = taught(inputs, parameters, settings, store)
        assert store.resumed == (killed_at > 6)
        assert its_history.equals(history)
        assert all(resumed[name].equal(value) for name, value in weights.items())


def test_fresh_triplets_begin_with_the_second_epoch(
    inputs: dict[str, Any], parameters: Parameters
) -> None:
    changes = STILL | {"epochs": 3}
    settings = parameters.gemini.model_copy(update=changes)
    _, stored = taught(inputs, parameters, settings)
    anew = parameters.gemini.model_copy(update=changes | {"fresh_triplets": True})
    _, fresh = taught(inputs, parameters, anew)
    losses = fresh["loss"].tolist()
    assert stored["loss"].tolist() == pytest.approx([losses[0]] * 3)
    assert len({round(loss, 6) for loss in losses}) == 3
    assert fresh["images_seen"].equals(stored["images_seen"])


def test_a_hundred_classes_are_told_apart(
    make_images: Callable[..., LabelledImages], parameters: Parameters
) -> None:
    train, *_ = prepare_images(make_images(per_class=5, classes=100), 0.2, None, None, None, 0)
    split = {"train": torch.arange(len(train["labels"]))}
    changes: dict[str, Any] = {"repeat": True, "batch_size": 4, "pairs": 150}
    few = parameters.triplets.model_copy(update=changes)
    inputs = {
        "train": train,
        "split": split,
        "normalisation": fit_normalisation(train, split),
        "triplets": draw_triplets(train, split, list(map(str, range(100))), few, seed=0),
    }
    changes = {"epochs": 3, "momentum": 0.9, "fresh_triplets": True}
    _, history = taught(inputs, parameters, parameters.gemini.model_copy(update=changes))
    first, *_, last = history["loss"].tolist()
    assert last < first / 2


def test_teacher_embeddings_are_those_of_the_stored_weights(
    inputs: dict[str, Any], parameters: Parameters
) -> None:
    model = Gemini(1, (1, 8, 8), 3, parameters.gemini, 2)
    train, normalisation, split = (inputs[n] for n in ("train", "normalisation", "split"))
    teacher = embed_with_gemini(
        model.state_dict(),
        train,
        normalisation,
        split,
        parameters.gemini,
        2,
        False,
        parameters.compute,
    )
    images = normalised(train, normalisation)
    for row, index in enumerate(split["train"].tolist()):
        label = int(train["labels"][index])
        with torch.no_grad():
            z = model.head(model.streams[label](images[index : index + 1]))[0]
        torch.testing.assert_close(teacher["embeddings"][row], z)
        assert teacher["labels"][row] == label


@pytest.mark.parametrize("method", METHODS)
def test_every_method_minimises_its_objective_from_the_same_initial_weights(
    inputs: dict[str, Any], parameters: Parameters, method: str
) -> None:
    """With one batch an epoch the first loss is that of the initial weights."""
    changes = {**STILL, "backbone": "small_cnn", "batch_size": 100}
    student = parameters.student.model_copy(update=changes)
    train, rows, settings = inputs["train"], inputs["split"]["train"], getattr(parameters, method)
    labels, teacher = train["labels"][rows], None
    answers = settings.answers(Task(student, 3, 7), labels)
    if settings.follows_teacher:
        answers = torch.randn(len(rows), 2, generator=torch.Generator().manual_seed(0))
        teacher = {"embeddings": answers, "labels": labels}
    weights, history, *_ = trained(inputs, parameters, method, student, teacher)
    model = build_embedder(7, (1, 8, 8), student, unit_length=settings.normalise_embeddings).train()
    with torch.no_grad():
        embeddings = model(normalised(train, inputs["normalisation"])[rows])
        expected = settings.objective(Task(student, 3, 7))(embeddings, answers).item()
    assert history["loss"].item() == pytest.approx(expected, rel=1e-4)
    assert set(weights) == set(model.state_dict())
    assert history["images_seen"].item() == len(rows)


@pytest.mark.parametrize("method", ["guided", "anchors"])
@pytest.mark.parametrize("scale", [0.5, 40.0])
def test_targets_are_learnt_at_one_scale_that_the_stored_weights_undo(
    inputs: dict[str, Any], parameters: Parameters, method: str, scale: float
) -> None:
    changes = {**STILL, "backbone": "small_cnn", "batch_size": 100, "target_scale": scale}
    student = parameters.student.model_copy(update=changes)
    train, rows = inputs["train"], inputs["split"]["train"]
    labels, settings = train["labels"][rows], getattr(parameters, method)
    targets = settings.answers(Task(student, 3, 7), labels)
    teacher = None
    if settings.follows_teacher:
        targets = 3 + 2 * torch.randn(len(rows), 2, generator=torch.Generator().manual_seed(0))
        teacher = {"embeddings": targets, "labels": labels}
    weights, history, *_ = trained(inputs, parameters, method, student, teacher)
    factor = scale / ((targets - targets.mean(0)) ** 2).sum(1).mean().sqrt().item()
    model = build_embedder(7, (1, 8, 8), student).train()
    with torch.no_grad():
        embeddings = model(normalised(train, inputs["normalisation"])[rows])
    expected = (embeddings - factor * targets).norm(dim=1).mean().item()
    assert history["loss"].item() == pytest.approx(expected, rel=1e-4)
    model.load_state_dict(weights)
    with torch.no_grad():
        stored = model(normalised(train, inputs["normalisation"])[rows])
    torch.testing.assert_close(stored * factor, embeddings)


def test_the_gaussian_has_its_width_on_the_scale_of_the_targets(
    inputs: dict[str, Any], parameters: Parameters
) -> None:
    """At four times the scale: four times as wide."""
    labels = inputs["train"]["labels"][inputs["split"]["train"]]
    targets = torch.randn(len(labels), 2, generator=torch.Generator().manual_seed(0))
    scale = 4 * ((targets - targets.mean(0)) ** 2).sum(1).mean().sqrt().item()
    losses = []
    for times, target_scale in ((1, scale), (4, None)):
        changes = {**STILL, "backbone": "small_cnn", "batch_size": 100, "similarity": "gaussian"}
        changes |= {"target_scale": target_scale, "gaussian_width": 1.5 * times}
        student = parameters.student.model_copy(update=changes)
        teacher = {"embeddings": targets * times, "labels": labels}
        losses.append(trained(inputs, parameters, "guided", student, teacher)[1]["loss"].item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_large_images_are_whitened_by_fewer_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "WHITENING_SAMPLE", 8)
    source = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (10, 1, 64, 64), dtype=torch.uint8, generator=source)
    pixels = DeviceImages(images, None, torch.device("cpu"))
    network, by_hand = (Airbench((1, 64, 64), 2) for _ in range(2))
    train.fit_whitening(network, pixels, torch.arange(10))
    by_hand.fit_whitening(images[[0, 5]].float())
    assert network.state_dict()["whitening.weight"].equal(by_hand.state_dict()["whitening.weight"])


def test_images_are_not_moved_out_of_themselves(
    inputs: dict[str, Any], parameters: Parameters
) -> None:
    changes = {**STILL, "backbone": "small_cnn", "shift": 7, "flip": "random"}
    student = parameters.student.model_copy(update=changes)
    trained(inputs, parameters, "softmax", student)
    far = student.model_copy(update={"shift": 8})
    with pytest.raises(InputError, match=r"student\.shift: 8 given; images of 8x8 .* 7 at most"):
        trained(inputs, parameters, "softmax", far)


def test_a_card_tells_what_its_network_started_from(
    inputs: dict[str, Any], parameters: Parameters, tmp_path: Path
) -> None:
    file = tmp_path / "known.safetensors"
    there = parameters.student.model_copy(update={"backbone": "timm/resnet10t"})
    body = build_embedder(0, (1, 8, 8), there).state_dict()
    save_file({name.removeprefix("0."): w for name, w in body.items() if name[:2] == "0."}, file)
    student = there.model_copy(update={**STILL, "pretrained": str(file), "flip": "random"})
    weights, _, card, *_ = trained(inputs, parameters, "softmax", student)
    assert card.student["pretrained"] == "known.safetensors"
    assert card.student["flip"] == "random"
    file.unlink()
    embedder_of(card, weights)


def test_targets_without_a_scale_are_refused(
    inputs: dict[str, Any], parameters: Parameters
) -> None:
    student = parameters.student.model_copy(update={"target_scale": 5.0})
    labels = inputs["train"]["labels"][inputs["split"]["train"]]
    ones = torch.ones(len(labels), 2)
    for rounded in (0.1 * ones, 5 * ones + 1e-7 * torch.rand(len(labels), 2)):
        same = {"embeddings": rounded, "labels": labels}
        with pytest.raises(DivergedError, match="all targets are the same point"):
            trained(inputs, parameters, "guided", student, same)
    on_circle = Anchors(margin=3.0, normalise_embeddings=True)
    with pytest.raises(InputError, match=r"anchors\.normalise_embeddings allows no scale"):
        trained(inputs, parameters.model_copy(update={"anchors": on_circle}), "anchors", student)


@pytest.mark.parametrize("unit_length", [False, True])
def test_an_image_and_its_mirror_image_embed_as_their_mean(
    inputs: dict[str, Any], parameters: Parameters, unit_length: bool
) -> None:
    student = parameters.student.model_copy(update={"backbone": "small_cnn"})
    model = build_embedder(0, (1, 8, 8), student, unit_length=unit_length).eval()
    train, test, normalisation, split = (
        inputs[name] for name in ("train", "test", "normalisation", "split")
    )
    card = card_of(model.state_dict(), student, normalisation, unit_length=unit_length)

    def embedded(queries: Tensors, *, flip_average: bool = True) -> tuple[Tensors, Tensors]:
        evaluation = parameters.evaluation.model_copy(update={"flip_average": flip_average})
        compute = parameters.compute
        return embed_images(model.state_dict(), card, train, queries, split, evaluation, compute)

    both, alone = embedded(test), embedded(test, flip_average=False)
    found, again = both[1], embedded(test | {"images": test["images"].flip(3)})[1]
    images = normalised(test, normalisation)
    with torch.no_grad():
        mean = (model(images) + model(images.flip(3))) / 2
    expected = mean / mean.norm(dim=1, keepdim=True) if unit_length else mean
    torch.testing.assert_close(found["embeddings"], expected)
    torch.testing.assert_close(found["embeddings"], again["embeddings"])
    torch.testing.assert_close(found["unaveraged"], alone[1]["embeddings"])
    for part, given in zip(alone, (train, test), strict=True):
        with torch.no_grad():
            torch.testing.assert_close(part["embeddings"], model(normalised(given, normalisation)))
    with_and_without, without = (
        score_embeddings(*sets, parameters.compute, seed=0) for sets in (both, alone)
    )
    assert len(with_and_without) == 2 * len(without)
    for name, score in without.items():
        assert with_and_without[f"{name}_without_flip_average"] == pytest.approx(score)


def test_targets_of_other_images_or_dimension_are_refused(
    inputs: dict[str, Any], parameters: Parameters
) -> None:
    labels = inputs["train"]["labels"][inputs["split"]["train"]]
    for teacher, words in (
        ({"embeddings": torch.zeros(len(labels), 2), "labels": labels.flip(0)}, "another split"),
        ({"embeddings": torch.zeros(len(labels), 3), "labels": labels}, "embedding_dimension: 2"),
    ):
        with pytest.raises(InputError, match=words):
            trained(inputs, parameters, "guided", parameters.student, teacher)


def test_precision_of_training_does_not_touch_stored_embeddings(
    inputs: dict[str, Any], parameters: Parameters
) -> None:
    student = parameters.student.model_copy(update={"backbone": "small_cnn"})
    weights = build_embedder(0, (1, 8, 8), student).state_dict()
    names = ("train", "test", "normalisation", "split")
    train, test, normalisation, split = (inputs[name] for name in names)
    both = [
        embed_images(
            weights,
            card_of(weights, student, normalisation),
            train,
            test,
            split,
            parameters.evaluation,
            parameters.compute.model_copy(update={"device": "cpu", "precision": precision}),
        )[1]["embeddings"]
        for precision in ("float32", "bfloat16")
    ]
    assert both[0].equal(both[1])


def test_validation_without_validation_images_is_refused(
    inputs: dict[str, Any], parameters: Parameters
) -> None:
    evaluation = parameters.evaluation.model_copy(update={"split": "validation"})
    split = {"train": torch.arange(30), "validation": torch.arange(0)}
    with pytest.raises(InputError, match="holds no validation images"):
        embed_images(
            {},
            card_of({}, parameters.student, inputs["normalisation"]),
            inputs["train"],
            inputs["test"],
            split,
            evaluation,
            parameters.compute,
        )


def test_a_training_goes_on_only_with_as_many_threads(
    inputs: dict[str, Any], raw_parameters: dict[str, Any], tmp_path: Path
) -> None:
    def resumed(threads: int) -> bool:
        store, small = CheckpointStore(tmp_path), {"epochs": 1, "backbone": "small_cnn"}
        changed = {"student": small, "gemini": {"epochs": 1}, "compute": {"threads": threads}}
        settings = validated(merged(raw_parameters, changed))
        taught(inputs, settings, settings.gemini, store)
        trained(inputs, settings, "softmax", settings.student, store=store)
        return store.resumed

    assert [resumed(threads) for threads in (1, 2, 2)] == [False, False, True]
    assert len(list(tmp_path.glob("*.safetensors"))) == 4
