"""The embedding as a picture (matplotlib) and as an interactive plot (plotly)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from guided_dml.figures.plane import Points, class_colours

if TYPE_CHECKING:
    from plotly.graph_objects import Figure as Plot

#: Points of one set in the picture and in the plot.
MOST_POINTS = 5_000


def embedding_figure(sets: list[Points], classes: list[str], heading: str) -> Figure:
    """Draw one panel a set, side by side on the same axes, coloured by class.

    Args:
        sets: What to draw.
        classes: The class names, for the legend.
        heading: Title above all panels.
    """
    figure = Figure(figsize=(5.2 * len(sets) + 1.8, 5.4), layout="constrained")
    panels = figure.subplots(1, len(sets), sharex=True, sharey=True, squeeze=False)[0]
    everything = np.concatenate([points.xy for points in sets])
    low, high = everything.min(0), everything.max(0)
    (x, y), reach = (low + high) / 2, 0.54 * float((high - low).max() or 1)
    panels[0].set(xlim=(x - reach, x + reach), ylim=(y - reach, y + reach))
    for panel, points in zip(panels, sets, strict=True):
        draw_points(panel, points, len(classes))
    panels[0].set_ylabel(sets[0].axes[1], fontsize=9)
    legend_of_classes(figure, panels[0], classes)
    figure.suptitle(heading, fontsize=13)
    return figure


def draw_points(panel: Axes, points: Points, classes: int) -> None:
    """Draw one set into a panel."""
    size = 14 if len(points.xy) <= 1500 else 5
    for label, colour in enumerate(class_colours(classes)):
        some = points.xy[points.labels == label]
        panel.scatter(some[:, 0], some[:, 1], s=size, color=colour, alpha=0.7, linewidths=0)
    panel.set_title(points.title, fontsize=11)
    panel.set_xlabel(points.axes[0], fontsize=9)
    panel.set_aspect("equal", adjustable="box")
    panel.grid(alpha=0.25)
    panel.tick_params(labelsize=8)


def legend_of_classes(figure: Figure, panel: Axes, classes: list[str]) -> None:
    """Put the names of the classes to the right of all panels."""
    handles = [
        panel.scatter([], [], s=40, color=colour, label=name)
        for name, colour in zip(classes, class_colours(len(classes)), strict=True)
    ]
    figure.legend(
        handles=handles,
        loc="outside right center",
        frameon=False,
        fontsize=9,
        ncols=1 + len(classes) // 26,
    )


def embedding_plot(sets: list[Points], classes: list[str], heading: str) -> Plot:
    """Return the same panels as an interactive plot; a click in the legend hides a class."""
    from plotly.graph_objects import Scattergl
    from plotly.subplots import make_subplots

    titles = [points.title for points in sets]
    plot = make_subplots(
        rows=1,
        cols=len(sets),
        subplot_titles=titles,
        shared_xaxes="all",
        shared_yaxes="all",
        horizontal_spacing=0.03,
    )
    colours = class_colours(len(classes))
    for column, points in enumerate(sets, start=1):
        for label, name in enumerate(classes):
            some = points.labels == label
            plot.add_trace(
                Scattergl(
                    x=points.xy[some, 0].round(4).tolist(),
                    y=points.xy[some, 1].round(4).tolist(),
                    customdata=points.rows[some].tolist(),
                    mode="markers",
                    marker={"size": 4, "color": colours[label], "opacity": 0.75},
                    name=name,
                    legendgroup=name,
                    showlegend=column == 1,
                    hovertemplate=f"{name}, image %{{customdata}}<extra></extra>",
                ),
                row=1,
                col=column,
            )
        plot.update_xaxes(title_text=points.axes[0], row=1, col=column)
    plot.update_yaxes(title_text=sets[0].axes[1], row=1, col=1)
    plot.update_layout(
        title=heading, template="plotly_white", height=520, legend={"itemsizing": "constant"}
    )
    return plot
