"""Scores of robustness by the names under which they are stored, made up."""

from __future__ import annotations

from statistics import fmean

from guided_dml.robustness.names import FAMILIES, SEVERITIES

Scores = dict[str, float]

#: Keys of the records of each module.
KEYS = dict.fromkeys(("corruptions", "ood", "subpopulation", "maps", "unseen"), "k1")


def all_modules(level: float, softmax: bool = False, raw: bool = False) -> dict[str, Scores]:
    """Return scores of every module, the better the higher the level."""
    detectors = ("nn", "knn", "mahalanobis", "relative", *(("msp", "energy") if softmax else ()))
    of_sets = {"auroc": level, "fpr95": 1 - level, "aupr_in": level - 0.02, "aupr_out": level}
    detection = {f"{of}_{by}": value for of, value in of_sets.items() for by in detectors}
    return {
        "corruptions": corruptions(level, raw),
        "ood": ood(level, detection),
        "subpopulation": subpopulation(level),
        "maps": rivals(level) if raw else of_map(level),
        "unseen": unseen(level, detection),
    }


def corruptions(level: float, raw: bool = False) -> Scores:
    """Return scores that fall with severity, in some families faster than in others."""
    falling = {
        f"{family}.{severity}": level - 0.03 * severity * (1 + number % 4)
        for number, family in enumerate(FAMILIES)
        for severity in SEVERITIES
    }
    corrupted = fmean(falling.values())
    beside_pixels = {"mce": 1.1 - 0.5 * level, "relative_mce": 1.2 - 0.5 * level}
    return {
        "clean_recall_at_1": level,
        "clean_map_at_r": level - 0.1,
        "clean_fmr": 0.01,
        "clean_fnmr": 1 - level,
        "corrupted_recall_at_1": corrupted,
        "corrupted_map_at_r": corrupted - 0.1,
        "corrupted_fmr": 0.03,
        "corrupted_fnmr": 1 - corrupted,
        "drop": level - corrupted,
        **({} if raw else beside_pixels),
        **{f"recall_at_1.{key}": value for key, value in falling.items()},
    }


def ood(level: float, detection: Scores) -> Scores:
    """Return scores of two OOD sets."""
    scores = {"id_acceptance": 0.94, "aurc": 0.02, "eer": 0.04, "fnmr_at_fmr_1": 0.1}
    for name in ("photographs", "mnist"):
        scores |= {f"{score}.{name}": value for score, value in detection.items()}
        scores[f"ood_rejection.{name}"] = level - 0.1
    return scores


def subpopulation(level: float) -> Scores:
    """Return scores with all references and with a long-tailed gallery."""
    names = ("recall_at_1", "recall_head", "recall_middle", "recall_tail", "worst_class_recall")
    tails = {f"{name}.long_tail_10": level - 0.02 * place for place, name in enumerate(names)}
    return {"recall_at_1": level, "worst_class_recall": level - 0.1, "recall.cat": level} | tails


def of_map(level: float) -> Scores:
    """Return scores of a map."""
    return {
        "neighbourhood_hit": level,
        "trustworthiness": 0.9,
        "continuity": 0.95,
        "silhouette": level - 0.4,
        "recall_at_1": level,
    }


def rivals(level: float) -> Scores:
    """Return what is stored of raw pixels' maps."""
    found = {"neighbourhood_hit": level}
    for place, name in enumerate(("pca", "lda", "nca")):
        scores = of_map(level - 0.1 * place) | {"seconds": 0.5}
        found |= {f"{score}.{name}": value for score, value in scores.items()}
    return found


def unseen(level: float, detection: Scores) -> Scores:
    """Return scores of held-out classes."""
    scores = {"recall_at_1": level, "map_at_r": level - 0.3, "nmi": level - 0.4}
    shots = {1: 0.2, 2: 0.14, 5: 0.1, 10: 0.09}
    scores |= {f"accuracy_{count}_shot": level - below for count, below in shots.items()}
    return detection | scores
