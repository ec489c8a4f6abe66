from __future__ import annotations

import torch

from guided_dml.seeding import derived_seed, generator, initial_weights


def test_seeds_differ_between_purposes_and_runs() -> None:
    seeds = {derived_seed(seed, purpose) for seed in range(50) for purpose in ("a", "b", "c")}
    assert len(seeds) == 150
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_same_purpose_draws_the_same() -> None:
    first, again = (torch.rand(3, generator=generator(7, "x")) for _ in range(2))
    assert first.equal(again)
    assert not first.equal(torch.rand(3, generator=generator(7, "y")))


def test_initial_weights_leave_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    with initial_weights(3, "x"):
        inside = torch.rand(2)
    assert torch.get_rng_state().equal(before)
    with initial_weights(3, "x"):
        assert torch.rand(2).equal(inside)
