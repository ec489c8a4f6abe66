"""Exact retrieval metrics beside pytorch-metric-learning's AccuracyCalculator."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from guided_dml.metrics.retrieval import retrieval_scores
from parts.timing import alternate
from run import Table, markdown

#: Queries, references, dimension, spread of a class, turns.
CASES = [
    (10_000, 60_000, 2, 0.2, 3),
    (10_000, 60_000, 2, 1.0, 3),
    (10_000, 60_000, 2, 4.0, 3),
    (2_000, 60_000, 128, 4.0, 3),
    (2_000, 60_000, 128, 12.0, 3),
    (2_000, 60_000, 512, 4.0, 3),
    (2_000, 60_000, 512, 12.0, 3),
]
LARGE = (2_000, 1_000_000, 2, 1.0)


def clusters(count: int, dimension: int, spread: float, seed: int) -> tuple[Tensor, Tensor]:
    """Return points around ten centres of spread 4, and their labels."""
    centres = 4 * torch.randn(10, dimension, generator=torch.Generator().manual_seed(7))
    source = torch.Generator().manual_seed(seed)
    labels = torch.randint(10, (count,), generator=source)
    return centres[labels] + spread * torch.randn(count, dimension, generator=source), labels


def measure() -> str:
    warnings.simplefilter("ignore")
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    names = ("mean_average_precision_at_r", "r_precision", "precision_at_1")
    calculator = AccuracyCalculator(include=names, k="max_bin_count", device=torch.device("cpu"))
    head = "queries x references | D | spread | MAP@R | peer, s | peer, MB | ours, s | ours, MB"
    rows: Table = [[*head.split(" | "), "ratio", "difference"]]
    for queries, references, dimension, spread, turns in CASES:
        data = *clusters(queries, dimension, spread, 1), *clusters(references, dimension, spread, 2)

        def peer(data: Any = data) -> Any:
            return calculator.get_accuracy(*data)

        def ours(data: Any = data) -> Any:
            return retrieval_scores(*data)

        both = alternate(turns, peer=peer, ours=ours)
        first, second = both["peer"], both["ours"]
        value = second.result["map_at_r"]
        rows.append(
            [
                f"{queries:,} x {references:,}",
                f"{dimension}",
                f"{spread}",
                f"{value:.3f}",
                first.text(),
                f"{first.megabytes:,.0f}",
                second.text(),
                f"{second.megabytes:,.0f}",
                f"{first.median / second.median:.1f}",
                f"{abs(value - first.result['mean_average_precision_at_r']):.0e}",
            ]
        )
    queries, references, dimension, spread = LARGE
    data = *clusters(queries, dimension, spread, 1), *clusters(references, dimension, spread, 2)
    large = alternate(1, ours=lambda: retrieval_scores(*data))["ours"]
    size, value = f"{queries:,} x {references:,}", large.result["map_at_r"]
    mine = [large.text(), f"{large.megabytes:,.0f}", "", ""]
    rows.append([size, f"{dimension}", f"{spread}", f"{value:.3f}", "", "", *mine])
    return (
        "## Exact retrieval metrics\n\n"
        "Peer: pytorch-metric-learning's `AccuracyCalculator` with `max_bin_count`, the same three "
        "metrics; ten\nGaussian classes around centres of spread 4. MB: growth of resident memory. "
        "Seconds: median\n(range).\n\n" + markdown(rows)
    )
