from __future__ import annotations

from guided_dml.robustness.names import CLAIMS, FAMILIES, GEOMETRIC, MODULES, OUTCOMES


def test_outcomes_are_of_known_modules_and_leave_no_claim_without_evidence() -> None:
    assert {outcome.module for outcome in OUTCOMES} < MODULES.keys()
    assert {outcome.claim for outcome in OUTCOMES} == CLAIMS.keys()
    assert len({(outcome.module, outcome.score) for outcome in OUTCOMES}) == len(OUTCOMES) == 6


def test_geometric_families_are_families() -> None:
    assert FAMILIES.keys() > set(GEOMETRIC)
    assert len(FAMILIES) == 12
