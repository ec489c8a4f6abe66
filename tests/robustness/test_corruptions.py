"""Corruptions of real images: graded, repeatable, and the same on every machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import zoom
from sklearn.datasets import load_digits, load_sample_images

from guided_dml.errors import InputError
from guided_dml.robustness.corruptions import LEVELS, corrupt, hash_of_images
from guided_dml.robustness.names import FAMILIES, SEVERITIES

#: Of three digits, as they were made first: ``<family>.<severity>`` uint8 ``[3, 1, 8, 8]``.
STORED = Path(__file__).with_name("corrupted_digits.npz")


def digits(count: int) -> np.ndarray:
    images: np.ndarray = np.round(load_digits().images[:count] * (255 / 16)).astype(np.uint8)
    return images[:, None]


def large_digits(count: int) -> np.ndarray:
    enlarged: np.ndarray = zoom(digits(count), (1, 1, 3.5, 3.5), order=1)
    return enlarged


def photographs(count: int) -> np.ndarray:
    rng, pictures = np.random.default_rng(0), load_sample_images().images
    corners = rng.integers(0, 380, (count, 2))
    crops = [pictures[n % 2][y : y + 32, x : x + 32] for n, (y, x) in enumerate(corners)]
    return np.stack(crops).transpose(0, 3, 1, 2).copy()


def changes(images: np.ndarray, family: str) -> list[float]:
    before = images.copy()
    corrupted = [corrupt(images, family, severity, seed=0) for severity in SEVERITIES]
    assert (images == before).all()
    for some in corrupted:
        assert some.dtype == np.uint8
        assert some.shape == images.shape
    return [float(np.abs(some - images.astype(float)).mean()) for some in corrupted]


@pytest.mark.parametrize("family", FAMILIES)
def test_severities_rise(family: str) -> None:
    small = changes(digits(60), family)
    assert small[0] > 0
    assert (np.diff(small) >= 0).all()
    for images in (large_digits(60), photographs(60)):
        assert (np.diff([0.0, *changes(images, family)]) > 0).all(), images.shape


@pytest.mark.parametrize("family", FAMILIES)
def test_sets_are_those_that_were_made_first(family: str) -> None:
    with np.load(STORED) as stored:
        for severity in SEVERITIES:
            found = corrupt(digits(3), family, severity, seed=0).astype(int)
            # (one grey level between versions of the libraries)
            assert np.abs(found - stored[f"{family}.{severity}"]).max() <= 1


def test_a_set_has_its_hash() -> None:
    found = hash_of_images(corrupt(digits(360), "gaussian_noise", 3, seed=0))
    assert found == "c2b669f855463cc833ac2a6b0f07158fe85bf633e63f2e80031531b944ff33a7"
    assert found != hash_of_images(corrupt(digits(360), "gaussian_noise", 3, seed=1))


def test_every_family_and_severity_draws_by_itself() -> None:
    images = digits(20)
    first = corrupt(images, "shot_noise", 2, seed=7)
    corrupt(images, "impulse_noise", 5, seed=7)
    assert (corrupt(images, "shot_noise", 2, seed=7) == first).all()
    assert LEVELS.keys() == FAMILIES.keys()


def test_what_they_do_to_a_known_image() -> None:
    image = np.zeros((1, 1, 28, 28), np.uint8)
    image[0, 0, 14, 10] = 200
    noise = corrupt(np.full((1, 3, 32, 32), 128, np.uint8), "impulse_noise", 5, seed=0)
    assert {*np.unique(noise)} == {0, 128, 255}
    assert 0.04 < (noise != 128).mean() < 0.1  # (0.07)
    moved = np.argwhere(corrupt(image, "shift", 2, seed=0)[0, 0])
    assert np.abs(moved - (14, 10)).tolist() == [[2, 2]]
    dark = corrupt(np.full((1, 1, 28, 28), 100, np.uint8), "shrink", 5, seed=0)[0, 0]
    assert dark[0, 0] == 0  # (around a drawing it is black)
    bright = corrupt(np.full((1, 3, 32, 32), 100, np.uint8), "rotate", 3, seed=0)
    assert (bright == 100).all()  # (a photograph goes on)
    line = np.zeros((1, 1, 28, 28), np.uint8)
    line[:, :, :, 10] = 250
    blurred = corrupt(line, "gaussian_blur", 3, seed=0)[0, 0].astype(float)
    where = np.arange(28) - 10
    assert blurred.sum(0) @ where**2 / blurred.sum() == pytest.approx(1.2**2, rel=0.03)
    assert corrupt(image[:0], "jpeg", 1, seed=0).shape == (0, 1, 28, 28)


@pytest.mark.parametrize(
    ("family", "severity", "words"),
    [("blur", 1, ["'blur'", "gaussian_blur"]), ("jpeg", 6, ["severity '6'", "1, 2, 3, 4, 5"])],
)
def test_unknown_names_are_told(family: str, severity: int, words: list[str]) -> None:
    with pytest.raises(InputError) as error:
        corrupt(digits(2), family, severity, seed=0)
    for word in words:
        assert word in str(error.value)
