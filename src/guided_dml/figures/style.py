"""How all figures look, and how names that anybody may have given are shown in them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from textwrap import fill
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, fontManager, get_font
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

#: The first is part of matplotlib; the others, where installed, have what it lacks.
FONTS = ["DejaVu Sans", "Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", "Arial Unicode MS"]
FONTS = FONTS[:1] + [font for font in FONTS[1:] if font in fontManager.get_font_names()]

#: For `@rc_context(STYLE)`: every size of text, and no name is ever parsed as a formula.
STYLE: Any = {
    "font.family": FONTS,
    "font.size": 9,
    "figure.titlesize": 12,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "legend.handletextpad": 0.3,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.25,
    "text.parse_math": False,
    "text.usetex": False,
}

#: Lines in one column of a legend, and in all of its columns.
IN_COLUMN, NAMED = 25, 100

#: They join letters and emoji: not seen, but not to be left out.
JOINERS = "\u200c\u200d"


def visible(name: str) -> str:
    """Return a name in one line, with what cannot be seen in it written as an escape."""
    shown = "".join(c if c.isprintable() or c in JOINERS else _escaped(c) for c in name)
    return shown if shown.strip(" " + JOINERS) else f'"{shown}"'


def short(name: str, most: int = 28) -> str:
    """Return a name for a figure: visible in its fonts, the middle left out of a long one."""
    glyphs = _glyphs()
    shown = "".join(c if ord(c) in glyphs else _escaped(c) for c in visible(name))
    if len(shown) <= most:
        return shown
    return f"{shown[: most // 2]}…{shown[len(shown) + 1 - (most - most // 2) :]}"


def broken(name: str, width: int) -> str:
    """Return a name for a figure likewise, in up to three lines of so many letters."""
    return fill(short(name, 3 * width), width)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


@cache
def _glyphs() -> frozenset[int]:
    return frozenset().union(*(get_font(findfont(font)).get_charmap() for font in FONTS))


def set_title(figure: Figure, heading: str, **options: Any) -> None:
    """Put a title above all panels, its lines broken where the figure ends."""
    figure.suptitle(title_of(heading, figure.get_figwidth()), **options)


def title_of(heading: str, width: float) -> str:
    """Return a figure's title, its lines broken to so many inches."""
    lines = (fill(short(line, 200), int(10.5 * width)) for line in heading.split("\n"))
    return "\n".join(lines)


def keep_panels(panels: Sequence[Axes], count: int, across: int) -> None:
    """Remove all but the first panels of a grid; the lowest left of each column has tick labels.

    Args:
        panels: Row by row, with shared axes.
        count: How many are kept.
        across: Panels of a row.
    """
    for spare in panels[count:]:
        spare.remove()
    for lowest in panels[max(0, count - across) : count]:
        lowest.tick_params(labelbottom=True)


def add_legend(
    place: Figure | Axes,
    names: Sequence[str],
    colours: Sequence[str],
    marker: str = "o",
    most: int = NAMED,
    **options: Any,
) -> None:
    """Put names and their colours to the right of all panels, or where ``options`` say.

    Of more than ``most`` names the last line says how many are left out.
    """
    shown = names if len(names) <= most else names[: most - 1]
    handles = [
        Line2D([], [], ls="", marker=marker, ms=6.5, color=colour, label=short(name))
        for name, colour in zip(shown, colours, strict=False)
    ]
    if len(names) > most:
        handles.append(Line2D([], [], ls="", label=f"and {len(names) - len(shown):,} more"))
    options = {"loc": "outside right center"} | options
    place.legend(handles=handles, ncols=_columns(names, most), **options)


def plain_log_ticks(axis: Axis) -> None:
    """Let a logarithmic axis have ticks at 1, 2 and 5, written as numbers.

    (matplotlib writes powers as formulas, and none is parsed here.)
    """
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axis.set_minor_locator(NullLocator())


def legend_width(names: Sequence[str], most: int = NAMED) -> float:
    """Return about how wide such a legend is, in inches."""
    longest = max((len(short(name)) for name in names[:most]), default=0)
    return (0.4 + 0.075 * longest) * _columns(names, most)


def _columns(names: Sequence[str], most: int) -> int:
    return -(-min(len(names), most) // IN_COLUMN)
