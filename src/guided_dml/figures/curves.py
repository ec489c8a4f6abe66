"""Loss and learning rate over the epochs."""

from __future__ import annotations

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from guided_dml.figures.style import STYLE, set_title
from guided_dml.types import History


@rc_context(STYLE)
def loss_figure(history: History, heading: str) -> Figure:
    """Draw the training loss and the learning rate of every epoch."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    draw_losses(figure.subplots(), history)
    set_title(figure, heading)
    return figure


def draw_losses(axes: Axes, history: History) -> None:
    """Draw the loss on the left axis and the learning rate on the right one."""
    axes.plot(history["epoch"], history["loss"], "o-", ms=3, color="tab:blue")
    axes.set_xlabel("epoch")
    axes.set_ylabel("mean training loss", color="tab:blue")
    axes.set_ylim(0, 1.05 * history["loss"].max() or 1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    rates = axes.twinx()
    rates.plot(history["epoch"], history["learning_rate"], "--", color="tab:orange")
    rates.set_ylabel("learning rate at the epoch's start", color="tab:orange")
    rates.set_ylim(0, 1.15 * history["learning_rate"].max())
    rates.grid(visible=False)
