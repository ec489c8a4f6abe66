from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from guided_dml.blocks import PageParameters
from guided_dml.errors import InputError
from guided_dml.figures.page import Choice, Group, Neighbours, PointImages, map_page
from guided_dml.figures.plane import Points, to_plane
from guided_dml.figures.thumbnails import thumbnails
from guided_dml.pipelines.evaluation.nodes import write_embedding_page
from guided_dml.types import LabelledImages


@pytest.fixture
def images(make_images: Callable[..., LabelledImages]) -> LabelledImages:
    return make_images(per_class=5, classes=3, shape=(3, 6, 4))


def points_of(images: LabelledImages, name: str, scale: float = 1) -> Points:
    xy = scale * np.random.default_rng(0).normal(size=(len(images.labels), 2))
    arrays: dict[str, Any] = {"embeddings": xy.astype(np.float32), "labels": images.labels}
    return to_plane({name: arrays})[0]


def content_of(page: str) -> dict[str, Any]:
    assert "http" not in page
    assert page.isascii()
    assert page.count("<script") == page.count("</script>")
    assert page.count("<!--") == 0
    found = re.search(r'<script type="application/json" id="content">([^<]*)</script>', page)
    assert found
    content: dict[str, Any] = json.loads(found[1])
    return content


def numbers(content: dict[str, Any], stored: tuple[int, str]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(content["texts"][stored[0]]), f"<{stored[1]}")


def where(content: dict[str, Any], drawn: dict[str, Any]) -> np.ndarray:
    """Return the coordinates that a page holds."""
    steps = np.stack([numbers(content, drawn[axis]) for axis in "xy"], axis=1)
    most = np.iinfo(steps.dtype).max
    low, size = np.array(drawn["window"]).reshape(2, 2)
    return np.asarray(low + steps / most * size)


def one_page(choice: Choice, classes: list[str], megabytes: float = 25, **pictures: Any) -> str:
    shown = {key: PointImages(images) for key, images in pictures.items()}
    return map_page([Group("", classes, [choice], one_window=True)], shown, "heading", megabytes)


def test_page_holds_points_and_images_and_no_outside_address(images: LabelledImages) -> None:
    classes = ["</script><b>", "\u00e9", "<!--<script>\u2028", "__CONTENT__", "__SHEETS__"]
    points = points_of(images, "training images")
    page = one_page(Choice(points, "a"), classes, a=images.images)
    content = content_of(page)
    (group,), (picture,) = content["groups"], content["pictures"]
    (drawn,) = group["sets"]
    assert group["classes"] == [*classes[:2], "<!--<script>\\u2028", *classes[3:]]
    assert group["oneWindow"]
    assert drawn["names"] is None  # (they have their numbers)
    assert numbers(content, drawn["labels"]).tolist() == images.labels.tolist()
    np.testing.assert_allclose(where(content, drawn), points.xy, atol=1e-4)
    sheet = re.search(r'id="sheet-0-0">([^<]*)</script>', page)
    assert sheet
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(sheet[1]))).convert("RGB"))
    assert (picture["height"], picture["width"]) == (6, 4)
    assert numbers(content, picture["rows"]).tolist() == [*range(15)]
    for i, image in enumerate(images.images):
        shown = pixels[:6, 4 * i : 4 * i + 4].astype(int).mean()
        assert shown == pytest.approx(image.mean(), abs=8)  # (the picture is compressed)


def test_what_methods_share_is_on_the_page_once(images: LabelledImages) -> None:
    sets = [
        Choice(points_of(images, "guided"), "digits", "guided"),
        Choice(points_of(images, "margin", 1e-4), "digits", "margin"),
        Choice(points_of(images, "triplet"), None, "triplet"),
    ]
    groups = [
        Group("digits, equal", images.classes, sets),
        Group("digits, tuned", images.classes, sets[:1]),
    ]
    page = map_page(groups, {"digits": PointImages(images.images)}, "an atlas", 25)
    content = content_of(page)
    assert page.count('id="sheet-') == 1
    first, second = content["groups"]
    assert [one["picture"] for one in first["sets"]] == [0, 0, None]
    assert [one["kind"] for one in first["sets"]] == ["guided", "margin", "triplet"]
    assert len({one["labels"][0] for one in first["sets"]}) == 1
    assert second["sets"] == first["sets"][:1]
    assert not first["oneWindow"]
    # A small embedding keeps its digits.
    np.testing.assert_allclose(where(content, first["sets"][1]), sets[1].points.xy, atol=1e-8)


@pytest.mark.parametrize(("outlier", "kind"), [(6.0, "u2"), (1e5, "u4")])
def test_outliers_leave_enough_steps_to_the_others(outlier: float, kind: str) -> None:
    xy = np.random.default_rng(0).normal(size=(1000, 2)).astype(np.float32)
    xy[17] = outlier
    arrays = {"embeddings": xy, "labels": np.zeros(1000, np.int64)}
    content = content_of(one_page(Choice(to_plane({"a": arrays})[0]), ["c"]))
    ((drawn,),) = (group["sets"] for group in content["groups"])
    assert drawn["x"][1] == kind
    np.testing.assert_allclose(where(content, drawn), xy, atol=2e-4)


def test_large_images_are_shown_smaller(images: LabelledImages) -> None:
    large = np.zeros((15, 1, 200, 100), np.uint8)
    page = one_page(Choice(points_of(images, "a"), "a"), images.classes, a=large)
    (picture,) = content_of(page)["pictures"]
    assert (picture["height"], picture["width"]) == (64, 32)


def test_images_become_smaller_then_fewer_as_the_bytes_do() -> None:
    rng = np.random.default_rng(0)
    photographs = {
        key: PointImages(rng.integers(0, 256, (count, 3, 32, 32), np.uint8))
        for key, count in (("a", 1100), ("b", 220))
    }
    sizes, counts = [], []
    for room in (3e6, 9e5, 2e5, 0):
        made = thumbnails(photographs, room)
        assert sum(len(sheet) for one in made for sheet in one.sheets) <= room
        sizes.append(made[0].height)
        counts.append([len(one.rows) for one in made])
        assert [len(one.sheets) for one in made] == [-(-n // 1024) for n in counts[-1]]
    assert sizes == [32, 24, 24, 24]
    assert counts[:2] == [[1100, 220]] * 2
    assert 0 < counts[2][0] < 1100
    assert counts[2][0] == pytest.approx(5 * counts[2][1], rel=0.05)
    assert counts[3] == [0, 0]
    some = thumbnails(photographs, 2e5)[0].rows
    assert (some[0], some[-1]) == (0, 1099)
    assert np.ptp(np.diff(some)) <= 1


def test_a_page_is_not_larger_than_it_may_be(images: LabelledImages) -> None:
    photographs = np.random.default_rng(0).integers(0, 256, (15, 3, 64, 64), np.uint8)
    choice = Choice(points_of(images, "a"), "a")
    bare = len(one_page(choice, images.classes, 1e-6, a=photographs))
    for megabytes in (0.05, 0.1):
        page = one_page(choice, images.classes, megabytes, a=photographs)
        assert bare < len(page) <= megabytes * 1e6 + bare


def test_names_of_other_alphabets_take_of_the_images_room(images: LabelledImages) -> None:
    photographs = np.random.default_rng(0).integers(0, 256, (15, 3, 64, 64), np.uint8)
    points = points_of(images, "a")
    bare = len(one_page(Choice(points, "a"), images.classes, 1e-6, a=photographs))
    named = replace(points, names=["\u56fe" * 300] * 15)
    page = one_page(Choice(named, "a"), images.classes, 0.05, a=photographs)
    assert len(page) <= 0.05 * 1e6 + bare


def choices(images: LabelledImages, **found: Any) -> list[Choice]:
    rows = np.zeros((15, 2), np.int64)
    given: dict[str, Any] = {"rows": rows, "distances": rows / 2, "gallery": "abc"} | found
    neighbours = Neighbours(**given)
    new = Choice(points_of(images, "new"), reference="known", neighbours=neighbours)
    return [new, Choice(points_of(images, "known"), gallery="abc")]


def test_stored_neighbours_are_on_the_page(images: LabelledImages) -> None:
    rows = np.arange(30).reshape(15, 2) % 15
    sets = choices(images, rows=rows, distances=rows / 2)
    content = content_of(map_page([Group("", images.classes, sets)], {}, "a", 25))
    new, known = content["groups"][0]["sets"]
    assert (new["reference"], known["reference"], known["neighbours"]) == (1, 1, None)
    assert numbers(content, new["neighbours"]["rows"]).tolist() == rows.ravel().tolist()
    assert numbers(content, new["neighbours"]["distances"]).tolist() == (rows / 2).ravel().tolist()


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ({"gallery": "of other weights"}, "gallery of other weights, but known is the gallery abc"),
        ({"rows": np.full((15, 2), 15)}, "not rows of known"),
        ({"rows": np.full((15, 2), -1)}, "not rows of known"),
        ({"rows": np.zeros((14, 2), np.int64)}, "not rows of known"),
    ],
)
def test_neighbours_of_another_gallery_are_refused(
    images: LabelledImages, found: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InputError, match=f"^new: its stored neighbours are .*{reason}"):
        map_page([Group("", images.classes, choices(images, **found))], {}, "a", 25)


def test_a_set_without_images_is_refused() -> None:
    nothing = {"embeddings": np.zeros((0, 2), np.float32), "labels": np.zeros(0, np.int64)}
    (none,) = to_plane({"new images": nothing})
    with pytest.raises(InputError, match="new images: there is no image to draw"):
        one_page(Choice(none), ["a"])


def test_a_query_brings_its_nearest_references_and_a_flag_where_the_first_is_wrong() -> None:
    reference = {
        "embeddings": torch.tensor([[0.0, 0], [1, 0], [9, 9]]),
        "labels": torch.tensor([0, 1, 1]),
    }
    query = {"embeddings": torch.tensor([[0, 0.5], [9, 8]]), "labels": torch.tensor([0, 0])}
    train, test = (
        {"images": torch.zeros(len(some["labels"]), 1, 4, 4).byte(), "labels": some["labels"]}
        for some in (reference, query)
    )
    names = {"train": ["r0", "r1", "r2"], "test": ["q0", "q1"]}
    what: Any = (
        names,
        {},
        ["a", "b"],
        "test",
        pd.DataFrame(),
        "guided on digits",
        PageParameters(),
    )
    content = content_of(write_embedding_page(reference, query, train, test, *what))
    queries = content["groups"][0]["sets"][1]
    (flag,), near = queries["flags"], queries["neighbours"]
    assert flag["name"] == "nearest image is of another class"
    bits = np.unpackbits(numbers(content, flag["bits"]), bitorder="little")
    assert bits[:2].tolist() == [0, 1]
    assert numbers(content, near["rows"]).tolist() == [0, 1, 2, 2, 1, 0]
    assert numbers(content, near["distances"])[[0, 3]].tolist() == [0.5, 1.0]
