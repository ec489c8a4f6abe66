from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from guided_dml.errors import InputError
from guided_dml.metrics.clustering import nmi
from guided_dml.metrics.retrieval import retrieval_scores
from guided_dml.parameters import Parameters
from guided_dml.pipelines.robustness.nodes import score_unseen
from guided_dml.robustness import unseen
from guided_dml.robustness.unseen import (
    draw_episodes,
    few_shot_scores,
    open_set_scores,
    unseen_retrieval_scores,
)


def clusters(count: int, seed: int, classes: int = 4, dimension: int = 3) -> dict[str, Tensor]:
    source = torch.Generator().manual_seed(seed)
    labels = torch.randperm(count, generator=source) % classes
    centres = 2 * torch.randn(classes, dimension, generator=torch.Generator().manual_seed(7))
    noise = torch.randn(count, dimension, generator=source)
    return {"embeddings": centres[labels] + noise, "labels": labels}


@pytest.mark.parametrize("parts", [1, 64_000_000])
@pytest.mark.parametrize("classes", [2, 4, 6])
def test_accuracies_are_those_of_scikit_learn(
    classes: int, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unseen, "PART_BYTES", parts)
    query = clusters(30 * classes, 0, classes)
    found = few_shot_scores(query, 20, seed=3)
    assert list(found) == [f"accuracy_{shots}_shot" for shots in (1, 2, 5, 10)]
    points, labels = (some.numpy() for some in query.values())
    episodes = draw_episodes(labels, 25, 20, 3)
    for shots in (1, 2, 5, 10):
        right = 0.0
        for rows in episodes:
            asked, shown = rows[:, :15].ravel(), rows[:, 15 : 15 + shots].ravel()
            known = np.unique(labels[shown])
            centroids = [points[shown][labels[shown] == c].mean(0) for c in known]
            fitted = KNeighborsClassifier(1).fit(np.array(centroids, float), known)
            right += (fitted.predict(points[asked].astype(float)) == labels[asked]).mean()
        assert found[f"accuracy_{shots}_shot"] == pytest.approx(right / 20)
    assert found["accuracy_1_shot"] < found["accuracy_10_shot"]


def test_episodes_never_show_a_query_and_have_images_of_their_classes() -> None:
    labels = clusters(150, 1, 6)["labels"].numpy()
    episodes = draw_episodes(labels, 20, 50, 0)
    assert episodes.shape == (50, 4, 20)
    of_rows = labels[episodes]
    assert (of_rows == of_rows[:, :, :1]).all()
    for episode in episodes:
        assert len(np.unique(episode)) == 80
        assert len(np.unique(labels[episode[:, 0]])) == 4
    assert set(of_rows[:, :, 0].ravel()) == set(range(6))


def test_episodes_are_the_same_for_all_embeddings(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[np.ndarray] = []

    def remembering(*arguments: object) -> np.ndarray:
        drawn.append(draw_episodes(*arguments))  # type: ignore[arg-type]
        return drawn[-1]

    monkeypatch.setattr(unseen, "draw_episodes", remembering)
    first = clusters(120, 0)
    other = {"embeddings": torch.randn(120, 50), "labels": first["labels"]}
    for query, seed in ((first, 0), (other, 0), (first, 1)):
        few_shot_scores(query, 5, seed)
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any()


def test_episodes_are_the_same_on_every_machine() -> None:
    first = draw_episodes(np.arange(120) % 4, 2, 3, 0)[0]
    assert first.tolist() == [[53, 21], [70, 74], [83, 91], [36, 20]]


def test_shots_are_as_many_as_images_suffice() -> None:
    query = clusters(4 * 18, 0)
    assert list(few_shot_scores(query, 5, 0)) == ["accuracy_1_shot", "accuracy_2_shot"]
    with pytest.raises(InputError, match="15 images found where at least 16 of each class"):
        few_shot_scores(clusters(4 * 15, 0), 5, 0)
    with pytest.raises(InputError, match="at least 2 unseen classes; there are 1"):
        few_shot_scores(clusters(40, 0, 1), 5, 0)
    with pytest.raises(InputError, match="at least 2 unseen classes; there are 0"):
        few_shot_scores({name: some[:0] for name, some in query.items()}, 5, 0)


def test_a_single_unseen_class_has_the_other_scores(
    parameters: Parameters, warned: list[str]
) -> None:
    source = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (60, 1, 8, 8), dtype=torch.uint8, generator=source)
    shown, asked = (
        {"images": some, "labels": torch.zeros(20, dtype=torch.int64)}
        for some in images[20:].split(20)
    )
    known = {"embeddings": images[:20].flatten(1), "labels": torch.arange(20) % 2}
    split = {"train": torch.arange(18), "validation": torch.arange(18, 20)}
    scores = score_unseen(
        known, known, shown, asked, split, 5, 0, parameters.evaluation, parameters.compute
    )
    assert {"auroc_nn", "recall_at_1"} <= scores.keys()
    assert not [name for name in scores if name.endswith("shot")]
    assert warned[0].startswith("left out: few-shot episodes need test images of at least 2")


def test_collapsed_embeddings_guess() -> None:
    for value in (0.0, 0.1):
        query = {"embeddings": torch.full((100, 3), value), "labels": torch.arange(100) % 4}
        assert set(few_shot_scores(query, 10, 0).values()) == {0.25}


def test_a_thousand_episodes_take_no_time() -> None:
    query = clusters(4000, 0)
    start = time.process_time()
    few_shot_scores(query, 1000, 0)
    assert time.process_time() - start < 10  # (a second or two on an idle machine)


def test_open_set_is_scored_against_known_test_images() -> None:
    reference, query, strange = clusters(200, 0), clusters(60, 1), clusters(40, 2)["embeddings"] + 2
    split = {"train": torch.arange(150)}
    found = open_set_scores(reference, query, strange, split)
    near = [
        torch.cdist(some.double(), reference["embeddings"].double()).min(1).values
        for some in (query["embeddings"], strange)
    ]
    area = roc_auc_score(np.repeat([0, 1], [60, 40]), np.concatenate(near))
    assert found["auroc_nn"] == pytest.approx(area)
    assert {"fpr95_mahalanobis", "aupr_in_knn", "aupr_out_relative"} <= set(found)
    with pytest.raises(InputError, match="0 images found"):
        open_set_scores(reference, query, strange[:0], split)


def test_retrieval_is_among_the_unseen_alone() -> None:
    reference, query = clusters(80, 0), clusters(40, 1)
    found = unseen_retrieval_scores(reference, query, 5)
    expected = retrieval_scores(*query.values(), *reference.values())
    assert found == {
        "recall_at_1": expected["recall_at_1"],
        "map_at_r": expected["map_at_r"],
        "nmi": nmi(query["embeddings"], query["labels"], seed=5),
    }
    nothing = {name: some[:0] for name, some in query.items()}
    for parts in ((nothing, query), (reference, nothing)):
        with pytest.raises(InputError, match="0 images found"):
            unseen_retrieval_scores(*parts, 0)
