"""What was found of each image, as a table and in counts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from guided_dml.blocks import AuditParameters
from guided_dml.metrics.label_issues import Votes, votes
from guided_dml.types import Table, Tensors

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


class Group(NamedTuple):
    """Images that are the same, or nearly.

    Attributes:
        rows: Their numbers, ascending.
        leak: Whether some are training and some test images.
        labels_differ: Whether they are of different classes.
        exact: Whether two of them have the same pixels.
        distance: Between the nearest two, in grey levels.
    """

    rows: list[int]
    leak: bool
    labels_differ: bool
    exact: bool
    distance: float


@dataclass(frozen=True)
class Findings:
    """The findings of N images, the training images first.

    Attributes:
        names: What they are called.
        test: bool ``[N]``, whether it is a test image.
        given: int64 ``[N]``, labels.
        neighbours: int64 ``[N, k]``, the numbers of those that voted, the nearest first.
        features: What neighbours in a network's features say.
        pixels: What neighbours in raw pixels say.
        issue: bool ``[N]``, whether the label is likely wrong by the features,
        pixel_issue: and by the pixels.
        groups: Of duplicates, the gravest first.
        closest: int64 ``[N]``, the nearest duplicate, or -1.
        distance: float64 ``[N]``, how far that is, in grey levels.
        exact: bool ``[N]``, whether another image has the same pixels.
    """

    names: list[str]
    test: Flags
    given: Integers
    neighbours: Integers
    features: Votes
    pixels: Votes
    issue: Flags
    pixel_issue: Flags
    groups: list[Group]
    closest: Integers
    distance: NDArray[np.float64]
    exact: Flags

    @classmethod
    def of(
        cls,
        train_images: Tensors,
        test_images: Tensors,
        image_names: dict[str, list[str]],
        label_neighbours: Tensors,
        duplicates: Tensors,
        majority: float,
    ) -> Findings:
        """Put together what the steps before have stored."""
        known = train_images["labels"].numpy()
        given = np.concatenate([known, test_images["labels"].numpy()])
        test = np.arange(len(given)) >= len(known)
        by_features, by_pixels = (
            label_neighbours[name].numpy() for name in ("by_features", "by_pixels")
        )
        features, pixels = votes(known[by_features], given), votes(known[by_pixels], given)
        twins = {name: values.numpy() for name, values in duplicates.items()}
        return cls(
            names=[*image_names["train"], *image_names["test"]],
            test=test,
            given=given,
            neighbours=by_features,
            features=features,
            pixels=pixels,
            issue=features.issues(given, majority),
            pixel_issue=pixels.issues(given, majority),
            groups=_groups(twins, test, given),
            closest=twins["closest"],
            distance=twins["distance"],
            exact=twins["exact"],
        )

    @property
    def order(self) -> Integers:
        """All images, the most suspicious label first."""
        # (the last key counts first)
        keys = self.pixels.score, -self.features.share, self.features.score, ~self.issue
        return np.lexsort(keys)

    def scores(self) -> dict[str, float]:
        """Return the counts."""
        near = [group for group in self.groups if not group.exact]
        leaks = [row for group in self.groups if group.leak for row in group.rows]
        return {
            "images": len(self.given),
            "label_issues": int(self.issue.sum()),
            "label_issues_by_pixels": int(self.pixel_issue.sum()),
            "label_issues_by_both": int((self.issue & self.pixel_issue).sum()),
            "agreement": float((self.features.suggested == self.given).mean()),
            "agreement_by_pixels": float((self.pixels.suggested == self.given).mean()),
            "exact_groups": len(self.groups) - len(near),
            "near_groups": len(near),
            "groups_of_different_labels": sum(group.labels_differ for group in self.groups),
            "leaks": sum(group.leak for group in self.groups),
            "leaked_test_images": int(self.test[leaks].sum()),
        }

    def notes(self, audit: AuditParameters) -> list[str]:
        """Return what a reader of the findings has to know of them."""
        scores, k = self.scores(), audit.neighbours
        return [
            f"{len(self.given):,} images, {self.test.sum():,} of them test images. Each label is "
            f"judged by the {k} nearest training images in the features of a network that learned "
            f"from the other folds of {audit.folds}: likely wrong where {audit.majority:.0%} or "
            "more of them are of one other class.",
            f"The vote agrees with {scores['agreement']:.1%} of all labels; in raw pixels, without "
            f"any network, with {scores['agreement_by_pixels']:.1%}. These would call "
            f"{scores['label_issues_by_pixels']:,} labels likely wrong, "
            f"{scores['label_issues_by_both']:,} of them listed below as well.",
            f"Near duplicates are less than {audit.near:g} times as far apart as either is from "
            f"its neighbour number {k}, in pixels.",
        ]

    def table(self, classes: list[str]) -> Table:
        """Return a row an image, the most suspicious label first."""
        import pandas as pd

        named, names = np.array(classes, object), np.array(self.names, object)
        number = np.zeros(len(names), np.int64)
        for place, group in enumerate(self.groups, start=1):
            number[group.rows] = place
        sets = np.where(self.test, "test", "train")
        alone, whole = number == 0, [Group([], False, False, False, 0.0), *self.groups]
        columns = {
            "image": names,
            "set": sets,
            "is_label_issue": self.issue,
            "label_score": self.features.score,
            "given_label": named[self.given],
            "suggested_label": named[self.features.suggested],
            "neighbours": [
                json.dumps(names[rows].tolist(), ensure_ascii=False) for rows in self.neighbours
            ],
            "is_label_issue_by_pixels": self.pixel_issue,
            "label_score_by_pixels": self.pixels.score,
            "suggested_label_by_pixels": named[self.pixels.suggested],
            "group": pd.array(np.ma.masked_array(number, alone).tolist(), "Int64"),
            "duplicate": np.where(alone, "", np.where(self.exact, "exact", "near")),
            "closest": np.where(alone, "", names[self.closest]),
            "closest_set": np.where(alone, "", sets[self.closest]),
            "distance": np.where(alone, np.nan, self.distance.round(2)),
            "is_leak": [whole[place].leak for place in number],
            "labels_differ": [whole[place].labels_differ for place in number],
        }
        return pd.DataFrame(columns).iloc[self.order].reset_index(drop=True)


def _groups(twins: dict[str, NDArray[Any]], test: Flags, given: Integers) -> list[Group]:
    """Return those of different labels first, then other leaks, then the nearest."""
    number = twins["group"]
    rows = np.argsort(number, kind="stable")[(number < 0).sum() :]
    groups = []
    for some in np.split(rows, np.flatnonzero(np.diff(number[rows])) + 1) if len(rows) else []:
        groups.append(
            Group(
                some.tolist(),
                leak=bool(test[some].any() and not test[some].all()),
                labels_differ=len(np.unique(given[some])) > 1,
                exact=bool(twins["exact"][some].any()),
                distance=float(twins["distance"][some].min()),
            )
        )
    return sorted(groups, key=lambda one: (not one.labels_differ, not one.leak, one.distance))
