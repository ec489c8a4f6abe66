"""Where out-of-distribution images lie, and what counts as known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from matplotlib.path import Path

from guided_dml.metrics.neighbours import nearest
from guided_dml.pipelines.robustness.drawing import draw_ood
from guided_dml.robustness.ood import ood_scores
from guided_dml.types import Tensors


def test_the_contour_holds_what_the_threshold_accepts() -> None:
    source = torch.Generator().manual_seed(0)
    points = torch.randn(6_400, 2, generator=source)  # (more than are drawn)
    reference, query = (
        {"embeddings": some, "labels": torch.zeros(len(some), dtype=torch.int64)}
        for some in (points[:6_000], points[6_000:])
    )
    split = {"train": torch.arange(600), "validation": torch.arange(600, 6_000)}
    strange: Tensors = {"photographs": 3 + points[:50]}
    _, arrays = ood_scores(reference, query, strange, split)
    assert arrays.threshold is not None
    distances = {"known": arrays.known, "strange.photographs": arrays.strange["photographs"]}
    distances |= {"risk": arrays.risk, "threshold": np.array([arrays.threshold])}
    stored = {name: torch.tensor(values) for name, values in distances.items()}
    plane, scores = draw_ood(
        reference, query, strange, stored, split, ["0"], pd.DataFrame(), "guided"
    )
    panel = plane.axes[1]
    (contour,) = (part for part in panel.collections if hasattr(part, "levels"))
    within = np.zeros(len(query["labels"]), bool)
    for path in contour.get_paths():
        for polygon in path.to_polygons(closed_only=False):
            within ^= Path(polygon).contains_points(query["embeddings"].numpy())
    learned = points[:600]
    asked = query["embeddings"]
    far = (asked - learned[nearest(asked, learned, 1)[:, 0]]).norm(dim=1)
    assert (within == (far <= arrays.threshold).numpy()).mean() > 0.98
    assert 0.9 < within.mean() < 1
    assert [panel.get_title() for panel in plane.axes[2:]] == ["OOD: Photo crops (50)"]
    _, labels = scores.axes[0].get_legend_handles_labels()
    assert "OOD: Photo crops" in labels
