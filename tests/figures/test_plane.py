from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from guided_dml.errors import InputError
from guided_dml.figures.plane import class_colours, rounded, to_plane, window


def embedded(count: int, dimension: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    scales = np.linspace(1, 5, dimension)
    return {
        "embeddings": (rng.normal(size=(count, dimension)) * scales).astype(np.float32),
        "labels": np.arange(count) % 3,
    }


def test_two_dimensions_are_drawn_as_they_are() -> None:
    arrays = embedded(20, 2)
    (points,) = to_plane({"a": arrays}, most=100)
    np.testing.assert_array_equal(points.xy, arrays["embeddings"])
    assert points.axes == ("dimension 1", "dimension 2")
    assert points.title == "a (20)"


def test_one_dimension_becomes_a_line() -> None:
    (points,) = to_plane({"a": embedded(20, 1)}, most=100)
    assert points.xy.shape == (20, 2)
    assert not points.xy[:, 1].any()


def test_more_dimensions_are_projected_on_their_principal_components_and_say_so() -> None:
    arrays = embedded(300, 5)
    first, second = to_plane({"a": arrays, "b": embedded(30, 5)}, most=1000)
    centred = arrays["embeddings"] - arrays["embeddings"].mean(0)
    _, singular, axes = np.linalg.svd(centred.astype(np.float64), full_matrices=False)
    np.testing.assert_allclose(np.abs(first.xy), np.abs(centred @ axes[:2].T), atol=1e-3)
    share = singular[0] ** 2 / (singular**2).sum()
    assert first.axes[0] == f"principal component 1 of 5 dimensions ({share:.0%} of the variance)"
    assert second.axes == first.axes


def test_a_large_set_is_thinned_evenly_and_says_so() -> None:
    (points,) = to_plane({"a": embedded(1000, 2)}, most=11)
    assert points.rows.tolist() == [round(i * 99.9) for i in range(11)]
    assert points.title == "a (11 of 1,000)"


def test_points_are_called_by_the_names_of_their_images() -> None:
    names = [f"{i}.png" if i % 2 else str(i) for i in range(20)]
    (points,) = to_plane({"a": embedded(20, 2) | {"names": names}}, most=2)
    assert points.names == ["image 0", "19.png"]


@pytest.mark.parametrize(("offset", "spread"), [(0, 1), (100, 1e-3), (-1e6, 10), (0, 1e30)])
@pytest.mark.parametrize("dimension", [2, 5])
def test_embeddings_of_any_place_and_scale_keep_their_shape(
    offset: float, spread: float, dimension: int
) -> None:
    arrays = embedded(50, dimension)
    arrays["embeddings"] = (offset + spread * arrays["embeddings"]).astype(np.float32)
    (points,) = to_plane({"a": arrays}, most=100)
    span = float(np.ptp(points.xy.astype(float), axis=0).max())
    np.testing.assert_allclose(np.transpose(rounded(points.xy)), points.xy, atol=1e-5 * span)
    low, high = window([points])["xlim"]
    assert low < points.xy[:, 0].min() <= points.xy[:, 0].max() < high
    if dimension == 2:
        np.testing.assert_array_equal(points.xy, arrays["embeddings"])


def test_what_is_not_finite_is_refused_by_name() -> None:
    arrays = embedded(20, 2)
    arrays["embeddings"][3, 1] = np.nan
    with pytest.raises(InputError, match=r"^test images: not all embeddings are finite"):
        to_plane({"test images": arrays}, most=100)


@pytest.mark.parametrize("count", [1, 2, 10, 11, 20, 21, 100, 1000])
def test_every_class_has_its_own_colour(count: int) -> None:
    colours = class_colours(count)
    assert len(set(colours)) == count
    assert all(len(colour) == 7 and colour.startswith("#") for colour in colours)
