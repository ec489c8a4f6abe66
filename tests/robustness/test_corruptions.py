from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage, stats

from conftest import PROJECT
from guided_dml.datasets.digits import DigitsDataset
from guided_dml.errors import InputError
from guided_dml.robustness.corruptions import corrupt, hash_of_images, value_of
from guided_dml.robustness.names import FAMILIES, GEOMETRIC, SEVERITIES

Images = np.ndarray[Any, np.dtype[np.uint8]]
PACKED = PROJECT.parent / "shared" / "data" / "packed"

#: Where our own arithmetic alone makes the pixels.
HASHES = {
    "gaussian_noise": "a661124c8181aff8",
    "shot_noise": "e75032a02eb7bd44",
    "impulse_noise": "50303b3463834728",
    "contrast": "a68bacf94ca1d577",
    "brightness": "e5d3532cce044c34",
    "pixelate": "32b77d93dc6ba330",
}

#: The first digit at severity 3; other versions of Pillow and scipy may be a grey level off.
PIXELS = {
    "jpeg": "000057feb40d00000712ff8c50d933011542ff3a13ff76060f585c3219709a00"
    "074d4e2209628f00092ff01600e863000a0bf26b2fc32b0407004ee99f040508",
    "gaussian_blur": "000d64bb8d370e02011faac39aae520a063fb34b309470110948931d13757011"
    "0a4a7214167d7011084589243398610e0432a16d888d220201136daf91290400",
    "rotate": "00245655571d000026bdb0b6a86d030035c9930572814b0005ad75041a8e7f23"
    "0f51b81d02589f0b00296672035ea11900023a918d8d880200000d31828a2400",
    "shear": "5dc9820e0000000067dfc7c7a02800002bdc35039d850d001366860026805a00"
    "003872260064842600064b9e0221b765000010809878af600000000056c4a410",
    "shrink": "000000000000000000001ba76c050000000059b17f8c000000006f311e840000"
    "0000631e24870000000065557e5e0000000020aa740000000000000000000000",
    "shift": "00001bc3dfa4bb3b000645d2382eaf68000951aa0413866e000b567500148b6e"
    "000951900226ae6200053ec34f92a60e0001147db98c1700000002101d130000",
}


@pytest.fixture(scope="module")
def digits() -> Images:
    return DigitsDataset().load().images[:360]


def scenes(channels: int, side: int) -> Images:
    """Images whose spectrum falls as that of photographs; grey ones are shapes on black."""
    rng = np.random.default_rng(0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    frequency[0, 0] = np.inf
    spectrum = np.fft.fft2(rng.normal(size=(60, channels, side, side))) / frequency**1.5
    field = np.fft.ifft2(spectrum).real
    levels = 128 + 50 * field / field.std()
    if channels == 1:
        inside = np.abs(np.arange(side) - side / 2 + 0.5) < side / 3
        levels = np.where(inside & inside[:, None] & (field > 0), 3 * levels - 300, 0)
    images: Images = np.rint(np.clip(levels, 0, 255)).astype(np.uint8)
    return images


def changes(images: Images, family: str) -> list[float]:
    corrupted = (corrupt(images, family, severity, 0) for severity in SEVERITIES)
    return [float(np.abs(one.astype(int) - images).mean()) for one in corrupted]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("channels", "side"), [(1, 28), (3, 32)])
def test_a_higher_severity_changes_more(family: str, channels: int, side: int) -> None:
    changed = changes(scenes(channels, side), family)
    assert min(np.diff([0, *changed])) > 0


@pytest.mark.parametrize("family", FAMILIES)
def test_a_higher_severity_changes_the_digits_more(digits: Images, family: str) -> None:
    assert min(np.diff([0, *changes(digits, family)])) > 0


@pytest.mark.skipif(not PACKED.is_dir(), reason="the real data are not at hand (../shared/data)")
@pytest.mark.parametrize(
    ("file", "shape"), [("MNIST-t10k-0.webp", (28, 28)), ("CIFAR10-test_batch.webp", (32, 32, 3))]
)
def test_a_higher_severity_changes_real_images_more(file: str, shape: tuple[int, ...]) -> None:
    side = shape[0]
    mode = "L" if len(shape) == 2 else "RGB"
    mosaic = np.asarray(Image.open(PACKED / file).convert(mode).crop((0, 0, 100 * side, side)))
    images = np.stack([mosaic[:, place : place + side] for place in range(0, 100 * side, side)])
    assert images.shape == (100, *shape)
    images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    for family in FAMILIES:
        assert min(np.diff([0, *changes(images, family)])) > 0, family


@pytest.mark.parametrize("family", HASHES)
def test_the_sets_are_the_same_on_every_machine(digits: Images, family: str) -> None:
    sets = np.stack([corrupt(digits, family, severity, 0) for severity in SEVERITIES])
    assert hash_of_images(sets)[:16] == HASHES[family]


@pytest.mark.parametrize("family", PIXELS)
def test_what_libraries_compute_is_the_same_but_for_a_grey_level(
    digits: Images, family: str
) -> None:
    expected = np.frombuffer(bytes.fromhex(PIXELS[family]), np.uint8).astype(int)
    assert np.abs(corrupt(digits[:1], family, 3, 0).ravel() - expected).max() <= 1


def test_every_family_is_held_to_pixels_of_its_own() -> None:
    assert HASHES.keys() | PIXELS.keys() == FAMILIES.keys()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 14), (1, 1, 1)])
def test_images_keep_their_shape_and_the_given_ones_their_pixels(
    family: str, shape: tuple[int, ...]
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, *shape), np.uint8)
    before = images.copy()
    images.flags.writeable = False
    corrupted = corrupt(images, family, 5, 0)
    assert corrupted.shape == images.shape
    assert corrupted.dtype == np.uint8
    assert np.array_equal(images, before)
    assert corrupt(images[:0], family, 5, 0).shape == (0, *shape)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_image_depends_on_what_was_corrupted_before_it(digits: Images, family: str) -> None:
    alone = corrupt(digits[:40], family, 4, 7)
    assert np.array_equal(corrupt(digits, family, 4, 7)[:40], alone)  # (and not on its batch)


@pytest.mark.parametrize("family", ["gaussian_noise", "shot_noise", "impulse_noise"])
def test_draws_of_another_seed_or_severity_are_others(family: str) -> None:
    images = np.full((50, 1, 8, 8), 100, np.uint8)
    noise = [
        corrupt(images, family, severity, seed).ravel() - 100.0
        for severity, seed in ((3, 0), (3, 1), (4, 0))
    ]
    assert np.abs(np.corrcoef(noise) - np.eye(3)).max() < 0.1


def test_noise_has_the_spread_that_it_is_named_by() -> None:
    images = np.full((400, 1, 28, 28), 128, np.uint8)
    noise = corrupt(images, "gaussian_noise", 2, 0) - 128.0
    assert noise.std() / 255 == pytest.approx(0.12, rel=0.01)
    assert abs(noise.mean()) < 0.3
    counts = corrupt(images, "shot_noise", 1, 0) * (60 / 255)
    assert counts.mean() == pytest.approx(128 / 255 * 60, rel=0.005)
    assert counts.var() == pytest.approx(128 / 255 * 60, rel=0.02)
    hit = corrupt(images, "impulse_noise", 5, 0)
    assert (hit == 0).mean() == pytest.approx(0.135, abs=0.003)
    assert (hit == 255).mean() == pytest.approx(0.135, abs=0.003)


def test_contrast_and_brightness_are_their_formulas() -> None:
    images = scenes(3, 32)[:3]
    means = images.mean((2, 3), keepdims=True)
    lower = corrupt(images, "contrast", 2, 0)
    assert np.array_equal(lower, np.rint((images + means) / 2))
    coloured = np.array([[[[60]], [[30]], [[0]]], [[[0]], [[0]], [[0]]], [[[250]], [[25]], [[0]]]])
    brighter = corrupt(coloured.astype(np.uint8), "brightness", 5, 0)  # (0.3, 76.5 levels)
    assert brighter.squeeze().tolist() == [[136, 68, 0], [76, 76, 76], [255, 26, 0]]


def test_pixelated_images_consist_of_cells_with_the_mean_of_their_pixels() -> None:
    images = scenes(1, 28)
    cells = images.reshape(-1, 1, 14, 2, 14, 2).mean((3, 5))
    assert np.array_equal(
        corrupt(images, "pixelate", 2, 0), np.rint(cells.repeat(2, 2).repeat(2, 3))
    )


def dot(side: int, channels: int = 1) -> Images:
    images = np.zeros((40, channels, side, side), np.uint8)
    images[:, :, side // 2, side // 2] = 200
    return images


@pytest.mark.parametrize(("channels", "side"), [(1, 56), (3, 33), (1, 14), (1, 8)])
@pytest.mark.parametrize("severity", SEVERITIES)
def test_blur_has_the_width_that_it_is_named_by(channels: int, side: int, severity: int) -> None:
    images = np.zeros((1, channels, side, side), np.uint8)
    images[..., side // 2] = 255  # (a line)
    wanted = value_of("gaussian_blur", severity, images.shape)
    row = corrupt(images, "gaussian_blur", severity, 0)[0, 0, 0].astype(float)
    if side >= 28:
        exact = ndimage.gaussian_filter1d(images[0, 0, 0].astype(float), wanted, radius=12)
    else:  # the mean of a linear interpolation, by many draws
        drawn = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000) * wanted
        exact = [np.interp(at + drawn, range(side), images[0, 0, 0]).mean() for at in range(side)]
    assert row == pytest.approx(np.array(exact), abs=1)


def test_shifts_move_by_so_many_pixels_in_four_directions() -> None:
    moved = corrupt(dot(56), "shift", 1, 0)
    found = {(int(y) - 28, int(x) - 28) for _, _, y, x in np.argwhere(moved == 200)}
    assert found == {(-2, -2), (-2, 2), (2, -2), (2, 2)}


def test_shifts_below_a_pixel_share_it_between_two() -> None:
    moved = corrupt(dot(14), "shift", 1, 0)[0, 0]  # (half a pixel)
    assert np.unique(moved).tolist() == [0, 50]
    assert (moved == 50).sum() == 4


def test_what_is_turned_sheared_and_shrunk_is_so_about_the_centre() -> None:
    images = np.zeros((40, 1, 41, 41), np.uint8)
    images[:, :, 10:31, 19:22] = 200  # (a bar, upright)
    images[:, :, 10:13, 21:24] = 200  # (and a hook, so that mirror images differ)
    rows = np.arange(41) - 20
    for family, slope in (("rotate", np.tan(0.4)), ("shear", 0.4)):
        moved = corrupt(images, family, 2, 0).astype(float)
        middle = (moved[:, 0] @ rows) / np.maximum(moved[:, 0].sum(2), 1)
        slopes = [np.polyfit(rows[14:27], line[14:27], 1)[0] for line in middle]
        assert np.abs(slopes) == pytest.approx(np.full(40, slope), abs=0.03)
        assert {*np.sign(slopes)} == {-1.0, 1.0}
    half = corrupt(images, "shrink", 5, 0)[0, 0]
    assert np.flatnonzero(half.any(1)).tolist() == list(range(15, 26))


@pytest.mark.parametrize("family", GEOMETRIC)
def test_beside_a_moved_image_grey_is_black_and_colour_goes_on(family: str) -> None:
    for channels, expected in ((1, 0), (3, 180)):
        images = np.full((2, channels, 16, 16), 180, np.uint8)
        corrupted = corrupt(images, family, 5, 0)
        assert corrupted.min() == expected
        assert corrupted.max() == 180


@pytest.mark.parametrize(
    ("family", "severity", "words"),
    [
        ("fog", 1, "unknown family of corruptions 'fog'; .*known: .*jpeg"),
        ("jpeg", 0, "unknown severity '0'; known: 1, 2, 3, 4, 5$"),
        ("jpeg", 6, "unknown severity '6'; known: 1, 2, 3, 4, 5$"),
    ],
)
def test_there_is_no_other_family_and_no_other_severity(
    family: str, severity: int, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        corrupt(dot(8), family, severity, 0)


def test_a_hash_knows_pixels_and_shape() -> None:
    images = dot(8)
    hashes = {hash_of_images(some) for some in (images, images[::-1].copy(), images[:39])}
    assert len(hashes) == 2
    assert hash_of_images(images.reshape(40, 1, 4, 16)) not in hashes
