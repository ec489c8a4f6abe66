"""Where out-of-distribution images lie, and what counts as known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.path import Path

from guided_dml.figures.ood import ood_scores_figure
from guided_dml.metrics.neighbours import nearest
from guided_dml.pipelines.robustness.drawing import draw_maps, draw_ood
from guided_dml.robustness.maps import map_of_embeddings
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
    _, shown = ood_scores(reference, query, strange, split)
    stored = {name: torch.tensor(values) for name, values in shown.items()}
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
    assert (within == (far <= stored["threshold"]).numpy()).mean() > 0.98
    assert 0.9 < within.mean() < 1
    assert [panel.get_title() for panel in plane.axes[2:]] == ["OOD: Photo crops (50)"]
    _, labels = scores.axes[0].get_legend_handles_labels()
    assert "OOD: Photo crops" in labels


@pytest.mark.parametrize(("low", "high"), [(2.0, 5.0), (0.011, 0.03), (1e-4, 1e3)])
def test_distances_are_written_as_numbers(low: float, high: float) -> None:
    far = np.linspace(low, high, 50)
    figure = ood_scores_figure(far, {"noise": far}, (low + high) / 2, np.linspace(0, 0.1, 50), "h")
    figure.draw_without_rendering()
    axis = figure.axes[0].xaxis
    texts = [tick.get_text() for tick in (*axis.get_ticklabels(), *axis.get_ticklabels(minor=True))]
    left, right = axis.get_view_interval()
    shown = [float(text.replace(",", "").replace("\N{MINUS SIGN}", "-")) for text in texts if text]
    assert len([value for value in shown if left <= value <= right]) > 1


def test_a_map_is_drawn_in_the_plane_that_it_is_scored_in() -> None:
    source = torch.Generator().manual_seed(0)
    points = [
        torch.randn(count, 3, generator=source) * torch.tensor(wide)
        for count, wide in ((60, (9.0, 3.0, 1.0)), (40, (1.0, 3.0, 9.0)))
    ]
    labels = [torch.zeros(len(some), dtype=torch.int64) for some in points]
    reference, query = (
        {"embeddings": some, "labels": own} for some, own in zip(points, labels, strict=True)
    )
    rows = torch.arange(5, 35)
    images, rival = {"rows": rows, "labels": labels[1][rows]}, {"pca": points[1][rows, :2]}
    figure = draw_maps(reference, query, images, rival, ["0"], pd.DataFrame(), "guided")
    scored = map_of_embeddings(points[0], points[1][rows]).query
    drawn = np.asarray(figure.axes[0].collections[0].get_offsets())
    np.testing.assert_allclose(np.sort(drawn, axis=0), np.sort(scored, axis=0), atol=1e-4)
    assert "principal components of 3 dimensions" in figure.get_suptitle()
