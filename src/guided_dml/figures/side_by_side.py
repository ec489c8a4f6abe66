"""Methods side by side: their scores with intervals, what they cost, where they put the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from guided_dml.figures.plane import Points, class_colours
from guided_dml.figures.scatter import draw_points
from guided_dml.figures.style import (
    STYLE,
    add_legend,
    broken,
    legend_width,
    plain_log_ticks,
    set_title,
    short,
)

#: The most panels in a row of a figure.
ACROSS = 2

#: The place in the palette of what is no method.
NO_METHOD = -1

#: Lines of a legend in the grid of embeddings.
NAMED = 15

#: Options of that legend, beside the last map of a row.
BESIDE: dict[str, Any] = {
    "loc": "center left",
    "bbox_to_anchor": (1.02, 0.5),
    "fontsize": 8,
    "labelspacing": 0.3,
    "borderpad": 0,
}


@dataclass(frozen=True)
class Panel:
    """What is known of methods on a data set.

    Attributes:
        title: Of the data set.
        names: Of the methods; of raw pixels too.
        colours: Their places in the palette, the same in all panels; NO_METHOD for raw pixels.
        means: float64 ``[methods, ...]``, in [0, 1]; NaN where nothing was measured.
        half_widths: Of the 95 % intervals, likewise; NaN for one run.
    """

    title: str
    names: list[str]
    colours: list[int]
    means: NDArray[np.float64]
    half_widths: NDArray[np.float64]


@dataclass(frozen=True)
class Methods(Panel):
    """The scores and the costs of methods, ``means`` being ``[methods, scores]``.

    Attributes:
        scores: Their names.
        seconds: float64 ``[methods]``, median of a run; NaN where it is not known.
    """

    scores: list[str]
    seconds: NDArray[np.float64]


@dataclass(frozen=True)
class MapRow:
    """One row of the grid of embeddings: a map for each column, or why there is none."""

    title: str
    classes: list[str]
    maps: list[Points | str]


@rc_context(STYLE)
def scores_figure(panels: Sequence[Methods], heading: str) -> Figure:
    """Draw the scores as bars with their 95 % intervals, a panel a data set and protocol.

    A bar begins where its panel's axis does, which is above zero where all scores are high; the
    panel's title then says so.
    """
    figure, axes = some_panels(len(panels), height=3.5)
    for ax, panel in zip(axes, panels, strict=True):
        _draw_bars(ax, panel)
    methods_legend(figure, panels)
    set_title(figure, heading)
    return figure


def _draw_bars(ax: Axes, panel: Methods) -> None:
    means, errors = 100 * panel.means, 100 * panel.half_widths
    # The lowest bar stays visible: it is at least a fifth as high as the panel.
    given, known = np.isfinite(means), np.nan_to_num(errors)
    lowest = float((means - known)[given].min(initial=100))
    highest = float((means + known)[given].max(initial=0))
    floor = max(0.0, np.floor((lowest - 0.3 * (highest - lowest) - 1) / 5) * 5)
    floor = floor if floor >= 20 else 0.0
    width = 0.84 / len(panel.names)
    for i, colour in enumerate(panel.colours):
        x = np.arange(len(panel.scores)) + (i - (len(panel.names) - 1) / 2) * width
        ax.bar(x, means[i] - floor, 0.92 * width, bottom=floor, color=method_colour(colour))
        some = np.isfinite(errors[i])
        x, y, error = x[some], means[i][some], errors[i][some]
        ax.errorbar(x, y, error, fmt="none", ecolor="#222", capsize=1.8, lw=1)
    above = f" (the axis begins at {floor:.0f} %)" if floor else ""
    ax.set_title(broken(panel.title + above, 72))
    ax.set_xticks(np.arange(len(panel.scores)), panel.scores)
    ax.set_xlim(-0.55, len(panel.scores) - 0.45)
    ax.set_ylim(floor, max(min(highest + 0.05 * (highest - floor), 102), floor + 1))
    ax.set_ylabel("%")
    ax.grid(visible=False, axis="x")


@rc_context(STYLE)
def cost_figure(panels: Sequence[Methods], score: str, heading: str) -> Figure:
    """Draw a score against the seconds of a run, a panel a data set and protocol."""
    figure, axes = some_panels(len(panels), height=3.8)
    for ax, panel in zip(axes, panels, strict=True):
        column = panel.scores.index(score)
        means, errors = 100 * panel.means[:, column], 100 * panel.half_widths[:, column]
        for x, y, error, place in zip(panel.seconds, means, errors, panel.colours, strict=True):
            ax.errorbar(x, y, error, fmt="none", ecolor=method_colour(place), capsize=3, lw=1.4)
            ax.plot(x, y, "o", ms=8, color=method_colour(place), clip_on=False)
        _time_axis(ax, panel.seconds)
        ax.margins(0.12, 0.14)
        low, high = ax.get_ylim()
        ax.set_ylim(max(low, 0), min(high, 100))
        ax.set_title(broken(panel.title, 72))
        ax.set_xlabel("seconds of a run (median)")
        ax.set_ylabel(f"{score} (%)")
    methods_legend(figure, panels, "o")
    set_title(figure, heading)
    return figure


def _time_axis(ax: Axes, seconds: NDArray[np.float64]) -> None:
    known = seconds[np.isfinite(seconds)]
    if known.size and known.max() > 8 * max(known.min(), 1e-9) and known.min() > 0:
        ax.set_xscale("log")
        plain_log_ticks(ax.xaxis)
    else:
        ax.xaxis.set_major_locator(MaxNLocator(6))


@rc_context(STYLE)
def embedding_grid(rows: Sequence[MapRow], columns: Sequence[str], heading: str) -> Figure:
    """Draw the embeddings: a row a data set and protocol, a column a method."""
    side = 2.35 if len(columns) > 3 else 3.4
    legend = max(legend_width(row.classes, NAMED) for row in rows)
    size = (side * len(columns) + 0.6 + legend, side * 1.08 * len(rows) + 0.6)
    figure = Figure(figsize=size, layout="compressed")
    grid = figure.subplots(len(rows), len(columns), squeeze=False)
    for row, line in zip(rows, grid, strict=True):
        for panel, points in zip(line, row.maps, strict=True):
            _draw_map(panel, points, len(row.classes))
        line[0].set_ylabel("\n".join(broken(text, 40) for text in row.title.split("\n")))
        add_legend(line[-1], row.classes, class_colours(len(row.classes)), most=NAMED, **BESIDE)
    for panel, name in zip(grid[0], columns, strict=True):
        panel.set_title(short(name))
    set_title(figure, heading)
    return figure


def _draw_map(panel: Axes, points: Points | str, classes: int) -> None:
    if isinstance(points, str):
        panel.set(xticks=[], yticks=[], xlim=(0, 1), ylim=(0, 1))
        panel.text(0.5, 0.5, points, ha="center", va="center", color="#888", fontsize=8)
        panel.set_box_aspect(1)
        return
    draw_points(panel, points, classes)
    panel.set(title="", xlabel="")
    panel.tick_params(labelsize=6, length=2, pad=1.5)
    panel.xaxis.set_major_locator(MaxNLocator(4))
    panel.yaxis.set_major_locator(MaxNLocator(4))


def some_panels(count: int, height: float) -> tuple[Figure, list[Axes]]:
    """Return a figure with so many panels, each of a height in inches."""
    across = min(ACROSS, count)
    down = -(-count // across)
    figure = Figure(figsize=(6.4 * across + 1.2, height * down + 0.6), layout="constrained")
    axes = list(figure.subplots(down, across, squeeze=False).ravel())
    for spare in axes[count:]:
        spare.remove()
    return figure, axes[:count]


def methods_legend(figure: Figure, panels: Sequence[Panel], marker: str = "s") -> None:
    """Put the names of all panels' methods beside them, in the order of the palette."""
    pairs = {pair for panel in panels for pair in zip(panel.colours, panel.names, strict=True)}
    places, names = zip(*sorted(pairs, key=_after_methods), strict=True)
    add_legend(figure, names, [method_colour(place) for place in places], marker)


def _after_methods(pair: tuple[int, str]) -> tuple[bool, int, str]:
    place, name = pair
    return place == NO_METHOD, place, name


def method_colour(place: int) -> str:
    """Return the colour of a place in the palette."""
    return "#222" if place == NO_METHOD else class_colours(10)[place % 10]
