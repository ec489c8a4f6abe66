from __future__ import annotations

from guided_dml.errors import one_of


def test_names_are_listed_in_order() -> None:
    assert one_of({"b", "a", "c"}) == "a, b, c"
