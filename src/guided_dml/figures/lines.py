"""Methods and raw pixels on shifted images: corrupted ever more, and of classes never seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from guided_dml.figures.side_by_side import (
    NO_METHOD,
    Panel,
    method_colour,
    methods_legend,
    some_panels,
)
from guided_dml.figures.style import STYLE, broken, keep_panels, set_title, short

#: Small panels in a row of a figure.
ACROSS = 6

#: On a logarithmic axis, from the points of one line to those of the next.
APART = 1.04


@dataclass(frozen=True)
class Lines(Panel):
    """A line for each method, ``means`` being ``[methods, panels, X]``; on one or more panels.

    Attributes:
        x: What the values of a line are at: float64 ``[X]``.
        panels: Names of the panels.
    """

    x: NDArray[np.float64]
    panels: list[str]


@rc_context(STYLE)
def severity_figure(sets: Sequence[Lines], heading: str) -> Figure:
    """Draw a score against severity: a block of panels a data set, a panel a family."""
    across = min(ACROSS, max(len(one.panels) for one in sets))
    rows = [-(-len(one.panels) // across) for one in sets]
    size = (2.1 * across + 2.2, sum(1.75 * count + 0.45 for count in rows) + 0.6)
    figure = Figure(figsize=size, layout="constrained")
    blocks = figure.subfigures(len(sets), 1, squeeze=False, height_ratios=rows)
    for block, one, count in zip(blocks[:, 0], sets, rows, strict=True):
        axes = block.subplots(count, across, sharex=True, sharey=True, squeeze=False)
        keep_panels([*axes.flat], len(one.panels), across)
        for place, (ax, name) in enumerate(zip(axes.ravel(), one.panels, strict=False)):
            _draw_lines(ax, one, place)
            ax.set_title(short(name, 24), fontsize=9)
            ax.set_xticks(one.x)
        axes[0, 0].set_ylim(_range(100 * one.means, 100 * one.half_widths))
        block.suptitle(broken(one.title, 90), fontsize=10)
        for row in axes:
            row[0].set_ylabel("Recall@1 (%)")
        block.supxlabel("severity (0: clean)", fontsize=9)
    methods_legend(figure, sets)
    set_title(figure, heading)
    return figure


@rc_context(STYLE)
def few_shot_figure(sets: Sequence[Lines], heading: str) -> Figure:
    """Draw the accuracy against the images that are shown of each new class."""
    figure, axes = some_panels(len(sets), height=3.5)
    for ax, one in zip(axes, sets, strict=True):
        _draw_side_by_side(ax, one)
        ax.set_ylim(_range(100 * one.means, 100 * one.half_widths))
        ax.set_xscale("log")
        ax.set_xticks(one.x, [f"{shots:g}" for shots in one.x], minor=False)
        ax.set_xticks([], minor=True)
        ax.set_title(broken(one.title, 72))
        ax.set_xlabel("images of each new class (shots)")
        ax.set_ylabel("accuracy (%)")
    methods_legend(figure, sets)
    set_title(figure, heading)
    return figure


@rc_context(STYLE)
def shift_figure(sets: Sequence[Lines], heading: str) -> Figure:
    """Draw a score of corrupted images against that of the clean ones, a point a method.

    A set's lines have two values: clean, corrupted. On the diagonal nothing would be lost.
    """
    figure, axes = some_panels(len(sets), height=4.2)
    for ax, one in zip(axes, sets, strict=True):
        means, errors = 100 * one.means[:, 0], 100 * np.nan_to_num(one.half_widths[:, 0])
        for (x, y), (dx, dy), place in zip(means, errors, one.colours, strict=True):
            colour = method_colour(place)
            ax.errorbar(x, y, dy, dx, fmt="none", ecolor=colour, capsize=2.5, lw=1.2)
            ax.plot(x, y, "o", ms=7, color=colour)
        (left, right), (low, high) = (_range(means[:, i], errors[:, i]) for i in (0, 1))
        ax.plot([left, right], [left, right], "--", color="#888", lw=1, zorder=0)
        ax.set(xlim=(left, right), ylim=(min(low, left), max(high, right)))
        ax.set_title(broken(one.title, 72))
        ax.set_xlabel("Recall@1, clean (%)")
        ax.set_ylabel("Recall@1, corrupted (%)")
    methods_legend(figure, sets, "o")
    set_title(figure, heading)
    return figure


def _draw_lines(ax: Axes, lines: Lines, panel: int) -> None:
    """Draw the lines with their intervals as bands, raw pixels dashed."""
    means, errors = 100 * lines.means[:, panel], 100 * lines.half_widths[:, panel]
    for mean, error, place in zip(means, errors, lines.colours, strict=True):
        colour, style = method_colour(place), "--" if place == NO_METHOD else "-"
        ax.plot(lines.x, mean, style, color=colour, lw=1.4)
        ax.fill_between(lines.x, mean - error, mean + error, color=colour, alpha=0.15, lw=0)


def _draw_side_by_side(ax: Axes, lines: Lines) -> None:
    """Draw the lines of the first panel with bars: of so wide intervals bands would be one."""
    means, errors = 100 * lines.means[:, 0], 100 * lines.half_widths[:, 0]
    for rank, (mean, error, place) in enumerate(zip(means, errors, lines.colours, strict=True)):
        beside = 0 if place == NO_METHOD else rank - len(means) / 2
        style = "--o" if place == NO_METHOD else "-o"
        x = lines.x * APART**beside
        ax.errorbar(x, mean, error, fmt=style, color=method_colour(place), lw=1.2, ms=4, capsize=2)


def _range(means: NDArray[np.float64], errors: NDArray[np.float64]) -> tuple[float, float]:
    """Return an axis in per cent that has room for all, and ends where the scores do."""
    known = np.nan_to_num(errors)
    low, high = float(np.nanmin(means - known)), float(np.nanmax(means + known))
    room = 0.06 * (high - low) + 0.5
    return max(low - room, -1.0), min(high + room, 101.0)


@rc_context(STYLE)
def note_figure(note: str, heading: str) -> Figure:
    """Draw a sentence where there is nothing else to draw."""
    figure = Figure(figsize=(7.6, 1.6), layout="constrained")
    figure.text(0.5, 0.4, note, ha="center", va="center", color="#666")
    set_title(figure, heading)
    return figure
