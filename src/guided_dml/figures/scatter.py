"""The embedding as a picture (matplotlib) and as an interactive plot (plotly)."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from guided_dml.figures.curves import draw_losses
from guided_dml.figures.plane import Points, class_colours, rounded, window
from guided_dml.figures.style import STYLE, add_legend, legend_width, set_title, short, visible
from guided_dml.types import History

if TYPE_CHECKING:
    from plotly.graph_objects import Figure as Plot

#: Points of one set in the picture and in the plot.
MOST_POINTS = 5_000


@rc_context(STYLE)
def embedding_figure(sets: list[Points], classes: list[str], heading: str) -> Figure:
    """Draw one panel a set, side by side on the same axes, coloured by class."""
    size = (4.9 * len(sets) + 0.5 + legend_width(classes), 5.4)
    figure = Figure(figsize=size, layout="compressed")
    panels = figure.subplots(1, len(sets), sharex=True, sharey=True, squeeze=False)[0]
    for panel, points in zip(panels, sets, strict=True):
        draw_points(panel, points, len(classes))
    panels[0].set(**window(sets))
    panels[0].set_ylabel(sets[0].axes[1])
    add_legend(figure, classes, class_colours(len(classes)))
    set_title(figure, heading)
    return figure


@rc_context(STYLE)
def teacher_figure(points: Points, history: History, classes: list[str], heading: str) -> Figure:
    """Draw the teacher's embeddings beside GEMINI's loss."""
    size = (11.2 + legend_width(classes), 5.4)
    figure = Figure(figsize=size, layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_points(left, points, len(classes))
    left.set_ylabel(points.axes[1])
    draw_losses(right, history)
    right.set_title("GEMINI's loss (Eq. 5)")
    add_legend(figure, classes, class_colours(len(classes)))
    set_title(figure, heading)
    return figure


def draw_points(panel: Axes, points: Points, classes: int) -> None:
    """Draw one set into a square panel that shows all of it."""
    colours = np.array(class_colours(classes))[points.labels]
    area = 14 if len(colours) <= 1500 else 5
    x, y = points.xy.T
    panel.scatter(x, y, s=area, c=colours, alpha=0.7, linewidths=0)
    panel.set_title(short(points.title, 60))
    panel.set_xlabel(points.axes[0])
    panel.set_box_aspect(1)
    panel.set(**window([points]))


def embedding_plot(sets: list[Points], classes: list[str], heading: str) -> Plot:
    """Return the same panels as an interactive plot; a click in the legend hides a class."""
    from plotly.graph_objects import Scattergl
    from plotly.subplots import make_subplots

    plot = make_subplots(
        rows=1,
        cols=len(sets),
        subplot_titles=[_plain(visible(points.title)) for points in sets],
        shared_xaxes="all",
        shared_yaxes="all",
        horizontal_spacing=0.03,
    )
    colours = class_colours(len(classes))
    for column, points in enumerate(sets, start=1):
        xy = np.array(rounded(points.xy))
        names = np.array([_plain(visible(name)) for name in points.names], object)
        for label, name in enumerate(classes):
            some = points.labels == label
            plot.add_trace(
                Scattergl(
                    x=xy[0, some].tolist(),
                    y=xy[1, some].tolist(),
                    customdata=names[some].tolist(),
                    mode="markers",
                    marker={"size": 4, "color": colours[label], "opacity": 0.75},
                    name=_plain(short(name)),
                    meta=_plain(visible(name)),
                    legendgroup=str(label),
                    showlegend=column == 1,
                    hovertemplate="%{meta}<br>%{customdata}<extra></extra>",
                ),
                row=1,
                col=column,
            )
        plot.update_xaxes(title_text=points.axes[0], row=1, col=column)
    plot.update_yaxes(title_text=sets[0].axes[1], row=1, col=1)
    plot.update_layout(
        title=_plain(visible(heading)),
        template="plotly_white",
        height=520,
        legend={"itemsizing": "constant"},
    )
    return plot


def _plain(text: str) -> str:
    """Return what plotly, which reads HTML and formulas in every text, shows as ``text``."""
    return escape(text, quote=False).replace("$", "&#36;")
