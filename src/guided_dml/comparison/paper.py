"""The figures that the paper reports, and the settings that they belong to."""

from __future__ import annotations

import csv
from importlib.resources import files
from typing import NamedTuple

from guided_dml.errors import counted
from guided_dml.parameters import Parameters


class Published(NamedTuple):
    """A score of the paper's tables, in [0, 1].

    Attributes:
        mean: Over ten runs.
        half_width: Of the 95 % interval.
        doubt: Why it is no figure to be reached; empty if it is one.
    """

    mean: float
    half_width: float
    doubt: str


def paper_figures() -> dict[tuple[str, str, str], Published]:
    """Return the paper's figures by data set, method and score."""
    text = files(__package__ or "").joinpath("paper.csv").read_text("utf-8")
    return {
        (row["data_set"], row["method"], row["score"]): Published(
            float(row["mean"]) / 100, float(row["half_width"]) / 100, row["doubt"]
        )
        for row in csv.DictReader(text.splitlines())
    }


def departures(parameters: Parameters) -> list[str]:
    """Return in which of its settings a comparison is not the paper's."""
    student, cap = parameters.student, parameters.data.images_per_class
    found = []
    if cap is not None:
        found.append(f"at most {cap:,} images per class (the paper: all)")
    if student.epochs != 50:
        found.append(f"{counted(student.epochs, 'epoch')} (50)")
    if student.backbone != "resnet18":
        found.append(f"backbone {student.backbone} (resnet18)")
    elif student.stem != "small":
        found.append(f"the backbone's {student.stem} stem (small)")
    if student.embedding_dimension != 2:
        found.append(f"{student.embedding_dimension} dimensions (2)")
    if parameters.evaluation.split != "test":
        found.append(f"{parameters.evaluation.split} images as queries (test)")
    return found
