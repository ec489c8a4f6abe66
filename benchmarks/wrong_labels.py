"""How well an audit finds labels that were changed: `python wrong_labels.py small_cnn 0 1 2`.

Five in a hundred training labels of the digits become another class, drawn by the seed. Scores are
of the ranking by `label_score`, as average precision and AUROC (ties count as ties).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import yaml
from sklearn.metrics import average_precision_score, roc_auc_score

from guided_dml.comparison.sessions import merged
from guided_dml.datasets.digits import DigitsDataset
from guided_dml.metrics.label_issues import votes
from guided_dml.parameters import validated
from guided_dml.pipelines.audit.nodes import find_label_neighbours
from guided_dml.pipelines.ingestion.nodes import prepare_images
from guided_dml.types import Tensors

SHARE = 0.05
RAW = yaml.safe_load((Path(__file__).parents[1] / "conf/base/parameters.yml").read_text())


def neighbours(backbone: str, seed: int) -> tuple[Tensors, Tensors, np.ndarray]:
    """Change labels, audit; return the training images, who voted, and what was changed."""
    change = {"student": {"backbone": backbone}, "compute": {"threads": 1}, "seed": seed}
    parameters = validated(merged(RAW, change))
    train, test, _, classes, *_ = prepare_images(DigitsDataset().load(), 0.2, None, None, None, 0)
    rng, labels = np.random.default_rng(seed), train["labels"].numpy()
    wrong = np.zeros(len(labels), bool)
    wrong[rng.choice(len(labels), round(SHARE * len(labels)), replace=False)] = True
    labels[wrong] = (labels[wrong] + rng.integers(1, len(classes), wrong.sum())) % len(classes)
    found = find_label_neighbours(
        train,
        test,
        classes,
        parameters.triplets,
        parameters.gemini,
        parameters.student,
        RAW["guided"],
        False,
        128,
        parameters.audit,
        parameters.compute,
        seed,
        0,
        None,
        method="guided",
    )
    return train, found, wrong


def main() -> None:
    """Print a row a seed and a space."""
    backbone, *seeds = sys.argv[1:]
    for seed in map(int, seeds):
        train, found, wrong = neighbours(backbone, seed)
        given = train["labels"].numpy()
        for space in ("by_features", "by_pixels"):
            judged = votes(given[found[space].numpy()[: len(given)]], given)
            scores = [
                metric(wrong, 1 - judged.score)
                for metric in (roc_auc_score, average_precision_score)
            ]
            print(backbone, seed, space, *(f"{score:.3f}" for score in scores), end=" ")
            for majority in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0):
                issue = judged.issues(given, majority)
                hits = (issue & wrong).sum()
                print(f"{majority}: {hits}/{issue.sum()} of {wrong.sum()}", end="; ")
            print(flush=True)


if __name__ == "__main__":
    main()
