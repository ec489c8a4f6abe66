from __future__ import annotations

from kedro.io import DatasetError

from guided_dml.errors import Interrupted, interrupted, one_of


def test_an_interruption_is_found_below_what_wraps_it() -> None:
    wrapped = DatasetError("failed while saving")
    wrapped.__cause__ = Interrupted("SIGINT")
    assert interrupted(wrapped)
    assert interrupted(Interrupted("SIGTERM"))
    assert not interrupted(DatasetError("failed while saving"))
    assert not interrupted(None)


def test_names_are_listed_in_order() -> None:
    assert one_of({"b", "a", "c"}) == "a, b, c"
