from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from guided_dml.figures.plane import Points, to_plane
from guided_dml.figures.side_by_side import (
    MapRow,
    Methods,
    cost_figure,
    embedding_grid,
    scores_figure,
)
from pixels import drawn


def panel(title: str, means: list[list[float]], half: float = 0.01, **of: Any) -> Methods:
    count = len(means)
    values: dict[str, Any] = {
        "names": [f"method {i}" for i in range(count)],
        "colours": list(range(count)),
        "seconds": 10.0 * np.arange(1, count + 1),
    } | of
    array = np.array(means)
    return Methods(
        title, scores=["Recall@1", "MAP@R"], means=array, half_widths=array * 0 + half, **values
    )


def test_bars_end_at_the_means_and_say_where_the_axis_begins() -> None:
    means = [[0.9, 0.8], [0.95, 0.85]]
    figure = scores_figure([panel("high", means), panel("low", [[0.2, 0.01]])], "a heading")
    high, low = figure.axes
    ends = [
        [bar.get_y() + bar.get_height() for bar in bars]
        for bars in high.containers
        if isinstance(bars, BarContainer)
    ]
    np.testing.assert_allclose(ends, 100 * np.array(means))
    assert high.get_title() == f"high (the axis begins at {high.get_ylim()[0]:.0f} %)"
    assert 0 < high.get_ylim()[0] < 80
    assert low.get_ylim()[0] == 0
    assert low.get_title() == "low"
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["method 0", "method 1"]
    assert drawn(figure).std() > 0


def test_single_runs_have_no_interval() -> None:
    for half, count in ((0.01, 2), (math.nan, 0)):
        figure = scores_figure([panel("one", [[0.9, 0.8]], half)], "a heading")
        assert sum(len(lines.get_segments()) for lines in _error_bars(figure)) == count
        assert drawn(figure).std() > 0


def _error_bars(figure: Figure) -> list[Any]:
    return [line for line in figure.axes[0].collections if hasattr(line, "get_segments")]


def test_scores_of_zero_and_one_can_be_drawn() -> None:
    figure = scores_figure([panel("ends", [[1.0, 1.0]], 0), panel("", [[0.0, 0.0]], 0)], "")
    assert figure.axes[0].get_ylim()[1] >= 100
    assert drawn(figure).std() > 0


def test_cost_shows_the_score_asked_for_against_the_seconds() -> None:
    panels = [
        panel("near", [[0.9, 0.8], [0.5, 0.4]]),
        panel("far", [[0.9, 0.8], [0.5, 0.4]], math.nan, seconds=np.array([2.0, 4000.0])),
    ]
    figure = cost_figure(panels, "MAP@R", "a heading")
    near, far = figure.axes
    dots = [line.get_xydata() for line in near.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(np.concatenate(dots), [[10, 80], [20, 40]])
    assert (near.get_xscale(), far.get_xscale()) == ("linear", "log")
    assert near.get_ylabel() == "MAP@R (%)"
    assert drawn(figure).std() > 0


def test_cost_and_scores_stay_between_0_and_100_and_leave_out_what_is_missing() -> None:
    means = [[0.01, 0.02], [0.99, 1.0], [math.nan, math.nan]]
    panels = [panel("$$", means, names=["$a$", "_b", "c"])]
    for unknown in ([10.0, math.nan, math.nan], 3 * [math.nan]):
        panels.append(replace(panels[0], seconds=np.array(unknown)))
    cost, scores = cost_figure(panels, "MAP@R", "$$"), scores_figure(panels, "$$")
    assert cost.axes[0].get_ylim() == (0, 100)
    assert scores.axes[0].get_ylim()[0] == 0
    for figure in (cost, scores):
        assert drawn(figure).std() > 0
        assert [text.get_text() for text in figure.legends[0].get_texts()] == ["$a$", "_b", "c"]


def points(scale: float) -> Points:
    xy = scale * np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    arrays: dict[str, Any] = {"embeddings": xy, "labels": np.arange(30) % 3}
    return to_plane({"queries": arrays}, 100)[0]


def test_grid_has_a_row_a_data_set_a_column_a_method_and_a_scale_a_map() -> None:
    classes = ["a", "b", "c"]
    rows = [
        MapRow("digits", classes, [points(1), points(1000)]),
        MapRow("mnist", classes, ["not run", points(1)]),
    ]
    figure = embedding_grid(rows, ["Guided", "Margin"], "a heading")
    maps = figure.axes
    assert [ax.get_title() for ax in maps] == ["Guided", "Margin", "", ""]
    assert [maps[0].get_ylabel(), maps[2].get_ylabel()] == ["digits", "mnist"]
    assert maps[1].get_xlim()[1] > 500 > maps[0].get_xlim()[1]
    assert [text.get_text() for text in maps[2].texts] == ["not run"]
    legend = maps[1].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == classes
    assert drawn(figure).std() > 0


@pytest.mark.parametrize(("count", "shown"), [(14, 14), (100, 15)])
def test_many_classes_do_not_burst_the_legend(count: int, shown: int) -> None:
    row = MapRow("digits", [str(i) for i in range(count)], [points(1)])
    figure = embedding_grid([row], ["Guided"], "a heading")
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert len(legend.get_texts()) == shown
