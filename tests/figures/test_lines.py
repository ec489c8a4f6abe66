from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import PolyCollection

from guided_dml.figures.lines import (
    Lines,
    few_shot_figure,
    note_figure,
    severity_figure,
    shift_figure,
)
from guided_dml.figures.side_by_side import NO_METHOD, method_colour
from pixels import drawn


def lines(means: Any, half: float = 0.01, **of: Any) -> Lines:
    """Return lines of a method and of raw pixels, which have no interval."""
    array = np.array(means, np.float64)
    half_widths = np.full_like(array, half)
    half_widths[1:] = math.nan
    values: dict[str, Any] = {
        "title": "digits",
        "names": ["$a$", "raw"],
        "colours": [2, NO_METHOD],
        "x": np.arange(array.shape[2]),
        "panels": [f"family {i}" for i in range(array.shape[1])],
    }
    return Lines(means=array, half_widths=half_widths, **(values | of))


def upper_edge(band: PolyCollection) -> float:
    """Return how high a band reaches, NaN for one that is not seen."""
    return max(
        (float(np.asarray(path.vertices)[:, 1].max()) for path in band.get_paths()),
        default=math.nan,
    )


def test_severity_has_a_panel_a_family_and_bands_of_the_methods() -> None:
    seven = lines(np.linspace(0.9, 0.5, 2 * 7 * 3).reshape(2, 7, 3))
    one = lines(np.full((2, 1, 3), 0.4), title="mnist")
    figure = severity_figure([seven, one], "a heading")
    assert [ax.get_title() for ax in figure.axes] == [*seven.panels, "family 0"]
    tick_labels = [ax.xaxis.get_tick_params()["labelbottom"] for ax in figure.axes]
    assert tick_labels == [False, *7 * [True]]  # (of seven panels the last is below the first)
    first, second = figure.axes[0].lines
    np.testing.assert_allclose(np.asarray(first.get_ydata()), 100 * seven.means[0, 0])
    assert (first.get_linestyle(), second.get_linestyle()) == ("-", "--")
    (band, none) = (b for b in figure.axes[0].collections if isinstance(b, PolyCollection))
    assert upper_edge(band) == pytest.approx(91)
    assert math.isnan(upper_edge(none))
    assert figure.axes[0].get_ylim()[0] < 50
    assert [block.get_suptitle() for block in figure.subfigs] == ["digits", "mnist"]
    assert drawn(figure).std() > 0


def test_clean_against_corrupted_shows_points_below_the_line_of_no_loss() -> None:
    figure = shift_figure([lines([[[0.9, 0.6]], [[0.8, 0.7]]])], "a heading")
    (ax,) = figure.axes
    points = [
        np.asarray(line.get_xydata()).tolist()
        for line in ax.lines
        if line.get_marker() in ("o", "D")
    ]
    assert points == [[[90, 60]], [[80, 70]]]
    (line,) = (line for line in ax.lines if line.get_linestyle() == "--")
    np.testing.assert_allclose(*np.asarray(line.get_data()))
    (low, high), (left, right) = ax.get_ylim(), ax.get_xlim()
    assert low < 59 < 91 < right == high
    assert left < 80
    assert drawn(figure).std() > 0


def test_few_shots_are_marked_and_evenly_far_for_each_doubling() -> None:
    shown = lines([[[0.5, 0.6, 0.7]], [[0.4, 0.5, math.nan]]], x=np.array([1.0, 2.0, 4.0]))
    figure = few_shot_figure([shown, shown, shown], "a heading")
    assert len(figure.axes) == 3
    ax = figure.axes[0]
    assert ax.get_xscale() == "log"
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["1", "2", "4"]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["$a$", "raw"]
    assert drawn(figure).std() > 0


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_scores_of_zero_and_one_and_single_runs_can_be_drawn(value: float) -> None:
    one = lines(np.full((2, 1, 2), value), half=math.nan)
    for draw in (severity_figure, shift_figure, few_shot_figure):
        figure = draw([one], "a heading")
        low, high = figure.axes[0].get_ylim()
        assert low < 100 * value < high
        assert drawn(figure).std() > 0


def test_raw_pixels_have_a_colour_of_their_own_and_a_note_is_a_sentence() -> None:
    assert method_colour(NO_METHOD) not in {method_colour(place) for place in range(10)}
    figure = note_figure("nothing", "a heading")
    assert [text.get_text() for text in figure.texts] == ["nothing", "a heading"]
    assert drawn(figure).std() > 0
