"""The figures that the paper reports, and the settings that they belong to."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, NamedTuple


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


def parameter(parameters: Mapping[str, Any], name: str) -> Any:
    """Return a nested parameter by its full name; None where there is none."""
    value: Any = parameters
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def departures(parameters: Mapping[str, Any], queries: str) -> list[str]:
    """Return in which of its settings a comparison is not the paper's.

    Args:
        parameters: What all methods share.
        queries: Which images are the queries.
    """
    cap, epochs, backbone, stem, dimension = (
        parameter(parameters, name)
        for name in (
            "data.images_per_class",
            "student.epochs",
            "student.backbone",
            "student.stem",
            "student.embedding_dimension",
        )
    )
    found = []
    if cap is not None:
        found.append(f"at most {cap:,} images per class (the paper: all)")
    if epochs != 50:
        found.append(f"{epochs} epochs (50)")
    if backbone != "resnet18":
        found.append(f"backbone {backbone} (resnet18)")
    elif stem != "small":
        found.append(f"the backbone's {stem} stem (small)")
    if dimension != 2:
        found.append(f"{dimension} dimensions (2)")
    if queries != "test":
        found.append(f"{queries} images as queries (test)")
    return found
