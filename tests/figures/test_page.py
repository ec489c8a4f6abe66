from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from guided_dml.figures.page import Choice, Group, atlas_page, embedding_page
from guided_dml.figures.plane import Points, to_plane
from guided_dml.types import LabelledImages


@pytest.fixture
def images(make_images: Callable[..., LabelledImages]) -> LabelledImages:
    return make_images(per_class=5, classes=3, shape=(3, 6, 4))


def points_of(images: LabelledImages, name: str, scale: float = 1) -> Points:
    xy = scale * np.random.default_rng(0).normal(size=(len(images.labels), 2))
    arrays: dict[str, Any] = {"embeddings": xy.astype(np.float32), "labels": images.labels}
    return to_plane({name: arrays}, most=100)[0]


def content_of(page: str) -> dict[str, Any]:
    assert "http" not in page
    assert page.isascii()
    assert (page.count("<script"), page.count("</script>"), page.count("<!--")) == (3, 3, 0)
    found = re.search(r'<script type="application/json" id="content">([^<]*)</script>', page)
    assert found
    content: dict[str, Any] = json.loads(found[1])
    return content


def test_page_holds_points_and_images_and_no_outside_address(images: LabelledImages) -> None:
    classes = ["</script><b>", "\u00e9", "<!--<script>\u2028"]
    points = points_of(images, "training images")
    content = content_of(embedding_page([(points, images.images)], classes, "a heading"))
    (group,), (picture,) = content["groups"], content["pictures"]
    (drawn,) = group["sets"]
    assert (group["classes"], group["oneWindow"]) == (
        [*classes[:2], "<!--<script>\\u2028"],
        True,
    )
    assert drawn["names"] == [f"image {i}" for i in range(15)]
    assert (drawn["labels"], drawn["picture"]) == (images.labels.tolist(), 0)
    np.testing.assert_allclose(np.transpose([drawn["x"], drawn["y"]]), points.xy, atol=1e-5)
    sprite = Image.open(io.BytesIO(base64.b64decode(picture["sprite"].split(",")[1])))
    pixels = np.asarray(sprite.convert("RGB")).astype(int)
    columns = picture["columns"]
    for i, image in enumerate(images.images):
        top, left = i // columns * 6, i % columns * 4
        shown = pixels[top : top + 6, left : left + 4].mean()
        assert shown == pytest.approx(image.mean(), abs=6)  # (the picture is compressed)


def test_the_methods_of_a_data_set_share_one_picture(images: LabelledImages) -> None:
    sets = [
        Choice(points_of(images, "guided"), "digits", "guided"),
        Choice(points_of(images, "margin", 1e-4), "digits", "margin"),
        Choice(points_of(images, "triplet"), None, "triplet"),
    ]
    groups = [
        Group("digits, equal", images.classes, sets),
        Group("digits, tuned", images.classes, sets[:1]),
    ]
    page = atlas_page(groups, {"digits": images.images}, "an atlas")
    content = content_of(page)
    assert page.count("data:image") == 1
    first, second = content["groups"]
    assert [one["picture"] for one in first["sets"]] == [0, 0, None]
    assert [one["kind"] for one in first["sets"]] == ["guided", "margin", "triplet"]
    assert second["sets"] == first["sets"][:1]
    assert not first["oneWindow"]
    # A small embedding keeps its digits.
    np.testing.assert_allclose(first["sets"][1]["x"], sets[1].points.xy[:, 0], atol=1e-9)


def test_large_images_are_shown_smaller(images: LabelledImages) -> None:
    large = np.zeros((15, 1, 200, 100), np.uint8)
    page = embedding_page([(points_of(images, "a"), large)], images.classes, "a heading")
    (picture,) = content_of(page)["pictures"]
    assert (picture["height"], picture["width"]) == (50, 25)
