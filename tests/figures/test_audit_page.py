from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from guided_dml.figures import audit_page as page
from guided_dml.figures.audit_page import Copies, Picture, Suspect, audit_page
from guided_dml.figures.style import visible
from names import NAMES


def grey(number: int) -> NDArray[np.uint8]:
    return np.full((1, 8, 6), number, np.uint8)


class Read(HTMLParser):
    """Collects elements and text, as a browser would."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def pictures(self) -> list[dict[str, str | None]]:
        return [attrs for _, attrs in self.tags if "picture" in (attrs.get("class") or "")]


def suspect(
    number: int, name: str = "a.png", given: str = "cat", suggested: str = "dog"
) -> Suspect:
    voters = [Picture(i, f"{i}.png", label, False) for i, label in ((1, suggested), (2, given))]
    return Suspect(Picture(number, name, given, True), suggested, 0.1, 0.25, voters)


def test_pictures_are_those_of_their_images() -> None:
    pair = [Picture(9, "9.png", "cat", False), Picture(200, "200.png", "dog", True)]
    groups = [Copies(pair, True, True, False, 3.25), Copies(pair[:1] * 2, False, False, True, 0)]
    content = audit_page([suspect(50)], groups, grey, "a heading", ["a note"])
    assert "http" not in content
    assert "<script" not in content
    read = Read(content)
    for said in ("leak", "labels differ", "3.2 grey levels", "exact", "10%", "25%", "a note"):
        assert said in read.text
    found = re.search(r"data:image/webp;base64,([^)]*)\)", content)
    assert found
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(found[1]))).convert("L"))
    shades = []
    for attrs in read.pictures():
        x, y = map(int, re.findall(r"\d+", attrs["style"] or ""))
        (shade,) = np.unique(sheet[8 * y : 8 * y + 8, 6 * x : 6 * x + 6])
        shades.append((attrs["aria-label"], int(shade)))
    assert shades == [
        ("a.png: cat", 50),
        ("1.png: dog", 1),
        ("2.png: cat", 2),
        ("9.png: cat", 9),
        ("200.png: dog", 200),
        ("9.png: cat", 9),
        ("9.png: cat", 9),
    ]
    frames = [attrs["class"] for attrs in read.pictures()][1:3]
    assert frames == ["picture suggested", "picture given"]


def test_no_name_is_read_as_markup() -> None:
    shown = audit_page([suspect(3)], [], grey, "a heading", [])
    plain = [tag for tag, _ in Read(shown).tags]
    for name in NAMES:
        content = audit_page([suspect(3, name, name, "dog")], [], grey, name, [])
        assert content.isascii()
        read = Read(content)
        assert [tag for tag, _ in read.tags] == plain, name
        assert f": {visible(name)}" in (read.pictures()[0]["aria-label"] or ""), name
        assert visible(name) in read.text


def test_the_page_is_bounded_and_says_what_it_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ("MOST_SUSPECTS", "MOST_GROUPS", "MOST_MEMBERS"):
        monkeypatch.setattr(page, limit, 2)
    some = [Picture(i, f"{i}", "cat", False) for i in range(5)]
    group = Copies(some, False, False, False, 1.0)
    read = Read(audit_page([suspect(i) for i in range(7)], [group] * 3, grey, "a heading", []))
    assert len(read.pictures()) == 2 * 3 + 2 * 2
    for said in ("the first 2 of 7", "the first 2 of 3", "and 3 more", "image 0"):
        assert said in read.text


def test_a_large_group_shows_each_set_and_label() -> None:
    many = [Picture(i, f"{i}", "cat", False) for i in range(40)]
    many += [Picture(50, "50", "cat", True), Picture(51, "51", "dog", False)]
    read = Read(audit_page([], [Copies(many, True, True, False, 1.0)], grey, "a heading", []))
    labels = [attrs["aria-label"] for attrs in read.pictures()]
    assert labels[:4] == ["image 0: cat", "image 50: cat", "image 51: dog", "image 1: cat"]
    assert "and 30 more" in read.text


def test_of_a_long_name_the_end_is_shown() -> None:
    name = "a/" * 60 + "last.png"
    read = Read(audit_page([suspect(3, name)], [], grey, "a heading", []))
    assert "\u2026" + name[-32:] in read.text
    assert name not in read.text
    assert read.pictures()[0]["title"] == f"{name}: cat"


def test_nothing_found_is_said() -> None:
    assert Read(audit_page([], [], grey, "a heading", [])).text.count("None found.") == 3


def test_large_colour_images_are_shown_smaller() -> None:
    large = np.zeros((3, 200, 100), np.uint8)
    content = audit_page([suspect(3)], [], lambda _: large, "a heading", [])
    found = re.search(r"data:image/webp;base64,([^)]*)\)", content)
    assert found
    assert Image.open(io.BytesIO(base64.b64decode(found[1]))).size == (2 * 25, 2 * 50)
