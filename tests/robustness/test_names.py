from __future__ import annotations

import pytest

from guided_dml.errors import InputError
from guided_dml.robustness.names import (
    CLAIMS,
    FAMILIES,
    GEOMETRIC,
    MODULES,
    OUTCOMES,
    chosen_families,
    sets_in,
)


def test_outcomes_are_of_known_modules_and_leave_no_claim_without_evidence() -> None:
    assert {outcome.module for outcome in OUTCOMES} < MODULES.keys()
    assert {outcome.claim for outcome in OUTCOMES} == CLAIMS.keys()
    assert len({(outcome.module, outcome.score) for outcome in OUTCOMES}) == len(OUTCOMES) == 6


def test_geometric_families_are_families() -> None:
    assert FAMILIES.keys() > set(GEOMETRIC)
    assert len(FAMILIES) == 12


def test_families_are_chosen_in_the_order_of_the_tables() -> None:
    assert chosen_families("shift+jpeg+shift") == ["jpeg", "shift"]
    assert chosen_families("all") == list(FAMILIES)


@pytest.mark.parametrize(
    ("families", "words"),
    [
        ("fog", r"unknown family in robustness.families 'fog'; known: all, brightness, contrast,"),
        ("jpeg+shit", "'shit'; did you mean shift\\?"),
        ("", "family in robustness.families ''"),
        ("jpeg+", "family in robustness.families ''"),
    ],
)
def test_an_unknown_family_is_named_with_the_known(families: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        chosen_families(families)


def test_sets_are_taken_once_in_the_order_given() -> None:
    assert sets_in("noise+cells+noise") == ["noise", "cells"]
