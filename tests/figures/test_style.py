from __future__ import annotations

import pytest
from matplotlib.font_manager import fontManager

from guided_dml.figures.style import FONTS, short, visible
from names import NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_seen_in_one_line(name: str) -> None:
    for shown in (visible(name), short(name)):
        assert shown.strip()
        assert len(shown.splitlines()) == 1
        assert shown.encode()
    assert len(short(name)) <= 28


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("cat", "cat"),
        ("a\nb\t", r"a\nb\t"),
        ("", '""'),
        ("  ", '"  "'),
        ("\u200b", r"\u200b"),
        ("\u200d", '"\u200d"'),
        ("\udcff", r"\udcff"),
        ("_x", "_x"),
        (r"$\frac{$", r"$\frac{$"),
        ("\u05e9\u05dc", "\u05e9\u05dc"),
    ],
)
def test_what_cannot_be_seen_is_written_as_an_escape(name: str, shown: str) -> None:
    assert visible(name) == shown


def test_a_figures_names_keep_both_ends_and_to_the_glyphs_of_its_fonts() -> None:
    assert short("a" * 20 + "b" * 20, most=9) == "aaaa\u2026bbbb"
    assert short("a" * 20, most=20) == "a" * 20
    assert short("x\U000f0000") == r"x\U000f0000"
    assert short("\u0394 \u00e9") == "\u0394 \u00e9"
    assert set(FONTS) <= set(fontManager.get_font_names())
