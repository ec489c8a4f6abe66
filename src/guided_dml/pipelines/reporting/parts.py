"""The parts of the report, before they are written as Markdown or LaTeX."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

#: Stands for what is not known.
DASH = "–"  # noqa: RUF001

#: What the nearest neighbour among raw pixels is called.
RAW_PIXELS = "Raw pixels (1-NN)"


class Bold(str):
    """A cell of a table that stands out."""

    __slots__ = ()


class Command(str):
    """A note that is a command, to be copied as it is."""

    __slots__ = ()


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        groups: Rows that belong together.
        labels: How many of the columns name the row.
        notes: Sentences below it, and commands.
    """

    caption: str
    header: list[str]
    groups: list[list[list[str]]]
    labels: int = 1
    notes: list[str] = field(default_factory=list)

    @property
    def rows(self) -> list[list[str]]:
        """The rows of all groups."""
        return [row for group in self.groups for row in group]

    def first_columns(self, count: int) -> Table:
        """Return the table without the columns behind so many."""
        groups = [[row[:count] for row in group] for group in self.groups]
        return replace(self, header=self.header[:count], groups=groups)


@dataclass(frozen=True)
class Section:
    """The report on a data set under a protocol.

    Attributes:
        brief: The table that a terminal shows, at most 80 columns wide.
    """

    title: str
    facts: str
    tables: list[Table]
    brief: Table


def shown(value: float, form: str = ".2f") -> str:
    """Return a number as text, a dash for NaN."""
    text = format(value, form).replace("-", "−").replace("inf", "∞")  # noqa: RUF001
    return DASH if math.isnan(value) else text


def percent(share: float, half_width: float = math.nan, form: str = ".2f") -> str:
    """Return a share or a difference of shares in per cent, with its interval."""
    text = shown(100 * share, form)
    interval = shown(100 * half_width, form.removeprefix("+"))
    return text if math.isnan(half_width) else f"{text} ± {interval}"


def spanned(counts: Iterable[int]) -> str:
    """Return how many there are, or the fewest and the most, as text; a dash for none."""
    known = sorted(set(counts) - {0})
    return DASH.join(map(str, dict.fromkeys([known[0], known[-1]]))) if known else DASH


def probability(p: float) -> str:
    """Return a p value as text."""
    return "< 0.001" if p < 0.001 else shown(p, ".3f")


def seconds_shown(seconds: float) -> str:
    """Return a time as text."""
    if math.isnan(seconds):
        return DASH
    return f"{seconds:,.0f}" if seconds >= 10 else f"{seconds:.1f}"
