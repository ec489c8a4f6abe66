from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from guided_dml.metrics.duplicates import CONTRAST, find_duplicates, near_pairs, shrunk
from guided_dml.training.policy import Policy

CPU = torch.device("cpu")


def noise(count: int, shape: tuple[int, ...] = (1, 6, 6), seed: int = 0) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, *shape), generator=source, dtype=torch.uint8)


def nearly(images: Tensor, most: int = 9, seed: int = 1) -> Tensor:
    """Return copies whose pixels differ by up to so many grey levels."""
    source = torch.Generator().manual_seed(seed)
    change = torch.randint(-most, most + 1, images.shape, generator=source)
    return (images + change).clamp(0, 255).to(torch.uint8)


def groups_of(found: dict[str, Tensor]) -> set[frozenset[int]]:
    numbers = found["group"].numpy()
    assert sorted(set(numbers[numbers >= 0])) == list(range(numbers.max() + 1))
    return {frozenset(np.flatnonzero(numbers == one)) for one in set(numbers) if one >= 0}


def test_near_pairs_are_those_of_a_slow_version() -> None:
    images = noise(60)
    points = torch.cat([images, nearly(images[:10], 40), nearly(images[:5], 90)]).flatten(1)
    pixels = points.numpy().astype(float)
    apart = np.sqrt(((pixels[:, None] - pixels[None]) ** 2).mean(2))
    scale = np.maximum(np.sort(apart, axis=1)[:, 4], CONTRAST * pixels.std(1))
    slow = {
        (i, j)
        for i in range(len(points))
        for j in range(len(points))
        if i != j and apart[i, j] < 0.5 * min(scale[i], scale[j])
    }
    pairs, distances = near_pairs(points, k=4, near=0.5)
    assert {tuple(pair) for pair in pairs.tolist()} == slow
    assert 10 <= len(slow) < 30
    np.testing.assert_allclose(distances, apart[pairs[:, 0], pairs[:, 1]])


def test_planted_duplicates_are_found_and_nothing_else(policy: Policy) -> None:
    train, test = noise(80), noise(20, seed=2)
    test[3], train[10], test[7] = train[5], train[11], nearly(train[20:21])[0]
    train[30:33] = nearly(train[29:30].repeat(3, 1, 1, 1))
    found = find_duplicates([train, test], 5, 0.5, policy.device)
    assert groups_of(found) == {
        frozenset(group) for group in ({5, 83}, {10, 11}, {20, 87}, {29, 30, 31, 32})
    }
    assert found["exact"].nonzero().flatten().tolist() == [5, 10, 11, 83]
    assert found["closest"][[5, 83, 10, 11, 20, 87]].tolist() == [83, 5, 11, 10, 87, 20]
    assert found["distance"][[5, 83, 10, 11]].tolist() == [0] * 4
    assert 0 < found["distance"][20] < 9
    alone = found["group"] < 0
    assert set(found["closest"][alone].tolist()) == set(found["distance"][alone].tolist()) == {-1}


def test_more_duplicates_than_neighbours_do_not_hide_each_other(policy: Policy) -> None:
    images = torch.cat([noise(50), nearly(noise(1, seed=5).repeat(30, 1, 1, 1), 6)])
    found = groups_of(find_duplicates([images], 5, 0.5, policy.device))
    assert frozenset().union(*found) == set(range(50, 80))
    assert min(map(len, found)) > 5


def test_dark_images_are_no_duplicates() -> None:
    images = noise(40) // 32
    assert groups_of(find_duplicates([images], 5, 0.5, CPU)) == set()


def test_zero_leaves_exact_duplicates_only() -> None:
    images = torch.cat([noise(30), noise(30)[:2], nearly(noise(30)[5:6], 1)])
    found = find_duplicates([images], 5, 0.0, CPU)
    assert groups_of(found) == {frozenset({0, 30}), frozenset({1, 31})}


@pytest.mark.parametrize("count", [1, 2, 20])
def test_images_that_are_all_the_same_are_one_group(count: int) -> None:
    found = find_duplicates([torch.zeros(count, 3, 4, 4, dtype=torch.uint8)], 5, 0.5, CPU)
    assert groups_of(found) == ({frozenset(range(count))} if count > 1 else set())


def test_large_images_are_compared_in_a_smaller_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guided_dml.metrics.duplicates.CHUNK", 16)
    images = noise(50, (3, 66, 40))
    small = shrunk(images).reshape(50, 3, 22, 14).float()
    slow = images[:, :, :66, :39].float().reshape(50, 3, 22, 3, 13, 3).mean((3, 5)).round()
    assert small[..., :13].equal(slow)
    assert shrunk(noise(3)).equal(noise(3).flatten(1))
    images[40:] = nearly(images[:10], 60)  # (much noise of single pixels is none of means)
    found = groups_of(find_duplicates([images], 5, 0.5, CPU))
    assert found == {frozenset({i, 40 + i}) for i in range(10)}
