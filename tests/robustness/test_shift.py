from __future__ import annotations

import math
from statistics import fmean

import numpy as np
import pytest
import torch
from torch import Tensor

from cards import card_of
from guided_dml.metrics.retrieval import retrieval_scores
from guided_dml.parameters import Parameters
from guided_dml.pipelines.robustness.nodes import score_corruptions
from guided_dml.robustness.pairs import Pairs
from guided_dml.robustness.shift import corruption_scores, domain_scores, headline_families

FAMILIES = ("gaussian_noise", "rotate", "shift")


def clusters(count: int, seed: int, spread: float = 0.7) -> dict[str, Tensor]:
    source = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    centres = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    noise = spread * torch.randn(count, 2, generator=source)
    return {"embeddings": centres[labels] + noise, "labels": labels}


REFERENCE, CLEAN = clusters(150, 0), clusters(60, 1)


def corrupted(scale: float = 0.5) -> list[tuple[str, Tensor]]:
    source = torch.Generator().manual_seed(2)
    return [
        (
            f"{family}.{severity}",
            CLEAN["embeddings"] + scale * severity * torch.randn(60, 2, generator=source),
        )
        for family in FAMILIES
        for severity in (1, 3)
    ]


def by_hand(embeddings: Tensor) -> dict[str, float]:
    return retrieval_scores(embeddings, CLEAN["labels"], *REFERENCE.values())


def test_scores_are_those_of_retrieval_and_the_headline_is_their_mean() -> None:
    found = corruption_scores(REFERENCE, CLEAN, corrupted(), channels=1)
    for name in ("recall_at_1", "map_at_r"):
        each = [by_hand(embeddings)[name] for _, embeddings in corrupted()]
        clean = by_hand(CLEAN["embeddings"])[name]
        assert [found[f"{name}.{key}"] for key, _ in corrupted()] == each
        assert found[f"clean_{name}"] == clean
        assert found[f"corrupted_{name}"] == pytest.approx(fmean(each))
        drop = found["drop" if name == "recall_at_1" else "drop_map_at_r"]
        assert drop == pytest.approx(clean - fmean(each))
    assert found["drop"] > 0
    assert not any("geometric" in key or "mce" in key for key in found)
    assert all(math.isfinite(value) for value in found.values())


def test_colour_images_have_geometric_families_apart() -> None:
    found = corruption_scores(REFERENCE, CLEAN, corrupted(), channels=3)
    noise = [found[f"recall_at_1.gaussian_noise.{severity}"] for severity in (1, 3)]
    moved = [found[f"recall_at_1.{f}.{s}"] for f in ("rotate", "shift") for s in (1, 3)]
    assert found["corrupted_recall_at_1"] == pytest.approx(fmean(noise))
    assert found["corrupted_recall_at_1_geometric"] == pytest.approx(fmean(moved))


def test_what_the_training_has_seen_is_not_in_the_headline() -> None:
    found = corruption_scores(REFERENCE, CLEAN, corrupted(), channels=1, shift=2)
    kept = [found[f"recall_at_1.{f}.{s}"] for f in ("gaussian_noise", "rotate") for s in (1, 3)]
    assert found["corrupted_recall_at_1"] == pytest.approx(fmean(kept))
    assert "recall_at_1.shift.3" in found
    assert len(headline_families(1, 0)) == 12
    assert len(headline_families(3, 0)) == len(headline_families(3, 4)) == 8
    assert "shift" not in headline_families(1, 1)


def test_no_mean_of_colour_images_has_a_shift_that_training_used() -> None:
    found = corruption_scores(REFERENCE, CLEAN, corrupted(), channels=3, shift=2)
    kept = [found[f"recall_at_1.rotate.{severity}"] for severity in (1, 3)]
    assert found["corrupted_recall_at_1_geometric"] == pytest.approx(fmean(kept))
    assert found["recall_at_1.shift.3"] != pytest.approx(fmean(kept))


def test_a_headline_without_families_is_left_out() -> None:
    moved = [(key, points) for key, points in corrupted() if not key.startswith("gaussian")]
    found = corruption_scores(REFERENCE, CLEAN, moved, channels=3)
    assert not {"corrupted_recall_at_1", "drop", "mce"} & set(found)
    assert "corrupted_recall_at_1_geometric" in found
    assert "corrupted_recall_at_1" not in corruption_scores(REFERENCE, CLEAN, [], channels=1)


def test_errors_are_shares_of_those_of_raw_pixels() -> None:
    pixels = corruption_scores(REFERENCE, CLEAN, corrupted(2.0), channels=1)
    found = corruption_scores(REFERENCE, CLEAN, corrupted(), channels=1, pixels=pixels)
    keys = [f"recall_at_1.{key}" for key, _ in corrupted()]
    ours, theirs = (sum(1 - some[key] for key in keys) for some in (found, pixels))
    assert found["mce"] == pytest.approx(ours / theirs)
    ours, theirs = (
        sum(some["clean_recall_at_1"] - some[key] for key in keys) for some in (found, pixels)
    )
    assert found["relative_mce"] == pytest.approx(ours / theirs)
    same = corruption_scores(REFERENCE, CLEAN, corrupted(2.0), channels=1, pixels=pixels)
    assert same["mce"] == same["relative_mce"] == 1


def test_without_errors_of_raw_pixels_there_is_no_share() -> None:
    perfect = [(key, REFERENCE["embeddings"][:60]) for key, _ in corrupted()]
    pixels = corruption_scores(REFERENCE, CLEAN, perfect, channels=1)
    found = corruption_scores(REFERENCE, CLEAN, corrupted(), channels=1, pixels=pixels)
    assert not {"mce", "relative_mce"} & set(found)
    fewer = {"recall_at_1.rotate.1": 0.5}
    assert "mce" not in corruption_scores(REFERENCE, CLEAN, corrupted(), channels=1, pixels=fewer)


def test_a_clean_threshold_moves_on_corrupted_queries() -> None:
    found = corruption_scores(REFERENCE, CLEAN, corrupted(2.0), channels=1)
    same = CLEAN["labels"][:, None] == REFERENCE["labels"]
    clean = torch.cdist(CLEAN["embeddings"].double(), REFERENCE["embeddings"].double())
    threshold = clean[~same].sort().values[: int(0.01 * int((~same).sum()))][-1]
    assert found["clean_fmr"] == pytest.approx(0.01, abs=1e-3)
    assert found["clean_fnmr"] == pytest.approx(
        float((clean[same] > threshold).double().mean()), abs=1e-2
    )
    key, points = corrupted(2.0)[1]
    moved = torch.cdist(points.double(), REFERENCE["embeddings"].double())
    missed = float((moved[same] > threshold).double().mean())
    assert found[f"fnmr.{key}"] == pytest.approx(missed, abs=1e-2)
    assert found["corrupted_fnmr"] > found["clean_fnmr"]


def test_too_few_pairs_have_no_rates() -> None:
    few = {name: some[:6] for name, some in CLEAN.items()}
    found = corruption_scores(REFERENCE, few, [("rotate.1", few["embeddings"])], channels=1)
    assert not any("fmr" in key for key in found)  # (900 pairs of two classes)
    assert found["recall_at_1.rotate.1"] == found["clean_recall_at_1"]


def test_pairs_of_many_images_are_a_part_of_each_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guided_dml.robustness.pairs.PAIRS", 60 * 30)
    pairs = Pairs.of(CLEAN, REFERENCE)
    assert pairs.distances.shape == (60, 30)
    assert pairs.same.sum(1).tolist() == [10] * 60
    assert pairs.rates(float("inf")) == {"fmr": 1.0, "fnmr": 0.0}


def test_scores_of_pairs_are_those_of_the_calibration() -> None:
    from guided_dml.inference.calibration import calibration_of

    arrays = [some.numpy() for some in (*REFERENCE.values(), *CLEAN.values())]
    expected = calibration_of(*arrays)["verification"]
    scores, threshold = Pairs.of(CLEAN, REFERENCE).scores()
    assert scores["eer"] == expected["eer"]
    assert scores["fnmr_at_fmr_1"] == expected["fnmr"]["0.01"]["fnmr"]
    assert threshold == expected["fnmr"]["0.01"]["distance"]


def test_another_domain_is_scored_against_the_same_references() -> None:
    query = clusters(30, 7, spread=3)
    found = domain_scores(REFERENCE, query)
    expected = retrieval_scores(*query.values(), *REFERENCE.values())
    assert found["domain_recall_at_1"] == expected["recall_at_1"] < 1
    assert found["domain_map_at_r"] == expected["map_at_r"]
    assert np.isfinite(list(found.values())).all()


def test_the_shift_of_a_networks_own_training_counts_and_another_domain_is_scored(
    parameters: Parameters,
) -> None:
    source, labels = torch.Generator().manual_seed(0), torch.arange(40) % 2
    images = torch.randint(0, 256, (40, 1, 4, 4), dtype=torch.uint8, generator=source)
    pixels = {"embeddings": images.flatten(1), "labels": labels}
    rows = torch.arange(10, 20)  # (turned: each looks like one of the other class)
    corrupted = {"rows": rows, "rotate.1": images[rows + 1], "shift.1": images[rows]}
    domain = {"images": images[:4], "labels": labels[:4]}
    student = parameters.student.model_copy(update={"shift": 2})
    card = card_of({}, student, {"mean": [0.0], "std": [1.0]})
    given = (pixels, pixels, corrupted, domain, 0, parameters.evaluation, parameters.compute)
    own, raw = (score_corruptions(*given, card=one) for one in (card, None))
    assert (own["recall_at_1.rotate.1"], own["recall_at_1.shift.1"]) == (0, 1)
    assert (own["corrupted_recall_at_1"], raw["corrupted_recall_at_1"]) == (0, 0.5)
    assert own["domain_recall_at_1"] == 1
