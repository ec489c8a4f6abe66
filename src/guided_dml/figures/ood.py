"""Out-of-distribution (OOD) images beside those that a network knows: where, and how far off."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from guided_dml.figures.plane import Points, class_colours, window
from guided_dml.figures.scatter import draw_points
from guided_dml.figures.style import (
    STYLE,
    add_legend,
    keep_panels,
    plain_log_ticks,
    set_title,
    short,
)

Array = NDArray[np.float64]

#: Points of the grid on which the threshold is drawn, along each axis.
GRID = 300

#: Of images that the network knows, where they are drawn beside others.
KNOWN = "#777777"


@rc_context(STYLE)
def ood_plane_figure(
    sets: list[Points],
    strange: list[Points],
    limit: tuple[NDArray[np.float32], float] | None,
    classes: list[str],
    heading: str,
) -> Figure:
    """Draw references, test images and each OOD set in the same plane, a panel a set.

    Args:
        sets: The references and the test images.
        strange: The OOD sets.
        limit: What counts as known, drawn as a contour: the points ``[N, 2]`` that the threshold
            was measured from, all of them, and the distance to the nearest. None: no contour.
        classes: Their names.
        heading: Of the figure.
    """
    drawn = [*sets, *strange]
    across = 2 if len(drawn) == 4 else min(3, len(drawn))
    down = -(-len(drawn) // across)
    figure = Figure(figsize=(4.0 * across + 1.6, 4.1 * down + 0.6), layout="compressed")
    panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
    keep_panels([*panels], len(drawn), across)
    limits = window(drawn)
    colours = class_colours(len(classes))
    contour = _contour(*limit, limits) if limit else None
    for place, (panel, points) in enumerate(zip(panels, drawn, strict=False)):
        if place < len(sets):
            draw_points(panel, points, len(classes))
        else:
            x, y = points.xy.T
            panel.scatter(*sets[0].xy.T, s=3, c="#cccccc", linewidths=0)
            panel.scatter(x, y, s=9, c="#222222", alpha=0.6, linewidths=0)
            panel.set_title(f"OOD: {short(points.title, 50)}")
            panel.set_box_aspect(1)
        panel.set(**limits, xlabel="", ylabel="")
        if contour:
            panel.contour(*contour, levels=[1.0], colors="#c00000", linewidths=0.9)
    figure.supxlabel(sets[0].axes[0], fontsize=9)  # (once: with D > 2 they are long)
    figure.supylabel(sets[0].axes[1], fontsize=9)
    add_legend(figure, classes, colours)
    set_title(figure, heading)
    return figure


def _contour(
    points: NDArray[np.float32], threshold: float, limits: Mapping[str, tuple[float, float]]
) -> tuple[Array, Array, Array]:
    """Return x and y of a grid, and there how many thresholds the nearest point is away."""
    from scipy.spatial import cKDTree

    x, y = (np.linspace(*limits[name], GRID) for name in ("xlim", "ylim"))
    grid = np.stack(np.meshgrid(x, y), axis=-1)
    far, _ = cKDTree(points).query(grid.reshape(-1, 2))
    return x, y, far.reshape(GRID, GRID) / threshold


@rc_context(STYLE)
def ood_scores_figure(
    known: Array, strange: Mapping[str, Array], threshold: float | None, risk: Array, heading: str
) -> Figure:
    """Draw histograms of distances, and the risk of the answers against their coverage.

    Args:
        known: ``[Q]``, distances of the test images to the nearest image that was learned from.
        strange: The same of each OOD set, by its name.
        threshold: Up to which an image counts as known; None: there is none.
        risk: ``[Q]``, the share of wrong answers among the 1, 2 ... Q nearest test images.
        heading: Of the figure.
    """
    figure = Figure(figsize=(11.4, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.35, 1))
    series = {"test images": known} | {f"OOD: {name}": values for name, values in strange.items()}
    colours = [KNOWN, *class_colours(10)]
    # On a logarithmic axis, as distances span decades; identical images are put at its start.
    everything = np.concatenate([*series.values()])
    above = everything[everything > 0]
    low, high = (above.min(), above.max()) if len(above) else (0.1, 1.0)
    bins = np.geomspace(low, max(high, low * 1.001), 41)
    for place, (name, values) in enumerate(series.items()):
        weights = np.full(len(values), 1 / len(values))
        style = {"histtype": "stepfilled" if not place else "step", "lw": 1.4}
        colour = colours[place % len(colours)]
        clipped = np.clip(values, bins[0], bins[-1])
        left.hist(clipped, bins, weights=weights, color=colour, label=short(name), **style)
    if threshold is not None and threshold > 0:
        style = {"color": "black", "ls": "--", "lw": 1}
        left.axvline(threshold, label="accepts 95 % of the validation images", **style)
    xlabel = "distance to the nearest image that was learned from"
    left.set(xscale="log", xlabel=xlabel, ylabel="share of the set")
    left.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    plain_log_ticks(left.xaxis)
    left.legend(frameon=True, framealpha=0.9)
    left.set_title("how far images are from what is known")
    coverage = np.arange(1, len(risk) + 1) / len(risk)
    right.plot(coverage, risk, color="#1f77b4", lw=1.6)
    right.set(xlabel="answered, the nearest first (coverage)", ylabel="wrong answers (risk)")
    right.set(xlim=(0, 1), ylim=(0, max(1.15 * float(risk.max()), 0.01)))
    for axis in (right.xaxis, right.yaxis):
        axis.set_major_formatter(PercentFormatter(1))
    right.set_title(f"risk against coverage (AURC {risk.mean():.2%})")
    set_title(figure, heading)
    return figure
