"""A contact sheet of an audit: likely wrong labels with their neighbours, duplicates side by side.

Self-contained HTML without a script: it needs no network and no other file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from guided_dml.figures.plane import image_title
from guided_dml.figures.style import visible
from guided_dml.figures.thumbnails import sheet_of
from guided_dml.inference.predictor import LONGEST_SIDE, thumbnail

#: Findings on the page, the gravest: what is left out is in the table.
MOST_SUSPECTS, MOST_GROUPS, MOST_MEMBERS = 200, 100, 12

#: Characters of a file's name that are shown; all of it is told under the pointer.
NAME = 48

#: Pixels; smaller images are stored exactly, as their neighbours on the sheet would run into them.
EXACT_SIDE = 16


class Picture(NamedTuple):
    """An image with what is written beside it.

    Attributes:
        number: Which one it is.
        name: Its file, or its number.
        label: The name of its class.
        test: Whether it is a test image.
    """

    number: int
    name: str
    label: str
    test: bool


class Suspect(NamedTuple):
    """A label that is likely wrong.

    Attributes:
        picture: The image.
        suggested: The class that its neighbours are of.
        score: The share of them that is of the given class.
        score_by_pixels: The same of its neighbours in raw pixels.
        neighbours: Those that have voted, the nearest first.
    """

    picture: Picture
    suggested: str
    score: float
    score_by_pixels: float
    neighbours: Sequence[Picture]


class Copies(NamedTuple):
    """A group of duplicates.

    Attributes:
        pictures: The images.
        leak: Whether some are training and some test images.
        labels_differ: Whether they are of different classes.
        exact: Whether two have the same pixels.
        distance: Between the nearest two, in grey levels.
    """

    pictures: Sequence[Picture]
    leak: bool
    labels_differ: bool
    exact: bool
    distance: float


def audit_page(
    suspects: Sequence[Suspect],
    groups: Sequence[Copies],
    image: Callable[[int], NDArray[np.uint8]],
    heading: str,
    notes: Sequence[str],
) -> str:
    """Return the page.

    Args:
        suspects: The most suspicious first.
        groups: The gravest first.
        image: Of a picture's number its pixels, ``[C, H, W]``.
        heading: Title.
        notes: Lines below the counts.
    """
    leaks = [group for group in groups if group.leak]
    others = [group for group in groups if not group.leak]
    shown = [*suspects[:MOST_SUSPECTS]]
    pictures = [picture for one in shown for picture in (one.picture, *one.neighbours)]
    for part in (leaks, others):
        pictures += [picture for group in part[:MOST_GROUPS] for picture in _members(group)]
    sheet = _Sheet(sorted({picture.number for picture in pictures}), image)
    body = [
        _counts(suspects, leaks, others),
        *(f"<p class=quiet>{_text(note)}</p>" for note in notes),
        _section(
            "labels",
            "Likely wrong labels",
            "The label as given, and what the neighbours say. Framed green: of the suggested "
            "class; red and dashed: of the given one; grey: of another. The network that tells "
            "who is near has not learned from the image.",
            len(suspects),
            [_suspect(one, sheet) for one in shown],
        ),
        _section(
            "leaks",
            "Leaks between training and test",
            "The same image, or nearly, in both sets: a score on the test set counts it as new.",
            len(leaks),
            [_copies(group, sheet) for group in leaks[:MOST_GROUPS]],
        ),
        _section(
            "duplicates",
            "Other duplicates",
            "Within the training set, or within the test set.",
            len(others),
            [_copies(group, sheet) for group in others[:MOST_GROUPS]],
        ),
    ]
    template = files("guided_dml.figures").joinpath("audit_page.html").read_text("utf-8")
    page = Template(template).substitute(
        sheet.style(), heading=_text(heading), body="\n".join(body)
    )
    return page.encode("ascii", "xmlcharrefreplace").decode()


class _Sheet:
    """All pictures of a page in one."""

    def __init__(self, numbers: list[int], image: Callable[[int], NDArray[np.uint8]]) -> None:
        self._images = [thumbnail(image(number)) for number in numbers] or [
            np.zeros((1, 1, 1), np.uint8)
        ]
        self._columns = int(np.ceil(np.sqrt(len(self._images))))
        self._place = {number: place for place, number in enumerate(numbers)}

    def show(self, picture: Picture, kind: str) -> str:
        """Return the element that shows a picture."""
        y, x = divmod(self._place[picture.number], self._columns)
        said = f"{_text(image_title(picture.name))}: {_text(picture.label)}"
        where = f'role="img" aria-label="{said}" title="{said}" style="--x:{x};--y:{y}"'
        return f'<span class="picture {kind}" {where}></span>'

    def style(self) -> dict[str, str]:
        """Return what the page's style has to know."""
        images = np.stack(self._images)
        height, width = images.shape[2:]
        side = max(height, width)
        how = {"quality": 85, "method": 4, "lossless": side <= EXACT_SIDE}
        return {
            "sheet": f"data:image/webp;base64,{sheet_of(images, side, self._columns, **how)}",
            "columns": str(self._columns),
            "ratio": f"{height / width:.6g}",
            "rendering": "pixelated" if side <= LONGEST_SIDE // 2 else "auto",
        }


def _text(name: str) -> str:
    return escape(visible(name))


def _counts(suspects: Sequence[Suspect], leaks: list[Copies], others: list[Copies]) -> str:
    both = [*leaks, *others]
    exact = sum(group.exact for group in both)
    counts = [
        ("labels", len(suspects), "likely wrong labels"),
        ("leaks", len(leaks), "leaks between training and test"),
        ("duplicates", exact, "groups with exact duplicates"),
        ("duplicates", len(both) - exact, "groups of near duplicates"),
    ]
    links = (f'<a href="#{to}"><b>{count:,}</b>{what}</a>' for to, count, what in counts)
    return f"<nav>{''.join(links)}</nav>"


def _section(place: str, title: str, about: str, total: int, cards: list[str]) -> str:
    of = f" <small>the first {len(cards)} of {total:,}: all are in the table</small>"
    body = f"<p class=quiet>{about}</p><div class=cards>{''.join(cards)}</div>"
    none = "<p class=quiet>None found.</p>"
    return (
        f'<section id="{place}"><h2>{title}{of if len(cards) < total else ""}</h2>'
        f"{body if cards else none}</section>"
    )


def _suspect(one: Suspect, sheet: _Sheet) -> str:
    given, label = one.picture.label, _text(one.picture.label)
    frames = {given: "given", one.suggested: "suggested"}
    votes = "".join(sheet.show(some, frames.get(some.label, "")) for some in one.neighbours)
    return (
        f"<article>{sheet.show(one.picture, 'large')}<div>"
        f"<div class=label><s><bdi>{label}</bdi></s> \u2192 "
        f"<span><bdi>{_text(one.suggested)}</bdi></span></div>"
        f"{_name(one.picture)}"
        f"<div class=name>{one.score:.0%} of the neighbours agree with the label; "
        f"in raw pixels {one.score_by_pixels:.0%}</div>"
        f"<div class=votes>{votes}</div></div></article>"
    )


def _copies(group: Copies, sheet: _Sheet) -> str:
    heads = [("leak", "leak")] * group.leak + [("differ", "labels differ")] * group.labels_differ
    heads.append(("kind", "exact" if group.exact else "near"))
    badges = "".join(f'<span class="badge {kind}">{text}</span>' for kind, text in heads)
    shown, more = _members(group), len(group.pictures) - MOST_MEMBERS
    many = " many" * (len(shown) > 3)
    rest = f"<p class=quiet>and {more:,} more: all are in the table</p>" if more > 0 else ""
    said = "" if group.exact else f"the nearest two {group.distance:.1f} grey levels apart"
    members = "".join(
        f"<figure>{sheet.show(one, 'medium')}<figcaption><bdi class=long>{_text(one.label)}</bdi>"
        f"{_name(one)}</figcaption></figure>"
        for one in shown
    )
    return (
        f'<article class="copies{many}"><div class=heads>{badges}'
        f"<span class=quiet>{said}</span></div>"
        f"<div class=members>{members}</div>{rest}</article>"
    )


def _members(group: Copies) -> list[Picture]:
    """Return those that are shown, first one of each set and label."""
    met = Counter[tuple[bool, str]]()
    ranked = []
    for place, picture in enumerate(group.pictures):
        ranked.append((met[picture.test, picture.label], place, picture))
        met[picture.test, picture.label] += 1
    return [picture for *_, picture in sorted(ranked)[:MOST_MEMBERS]]


def _name(picture: Picture) -> str:
    of = '<span class="set test">test</span>' if picture.test else "<span class=set>train</span>"
    name = visible(image_title(picture.name))
    if len(name) > NAME:  # (what tells files apart is mostly at the end)
        name = f"{name[: NAME // 3]}\u2026{name[-2 * NAME // 3 :]}"
    return f'<div class="name long">{of}<bdi>{escape(name)}</bdi></div>'
