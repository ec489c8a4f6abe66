from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from guided_dml.figures.curves import loss_figure
from guided_dml.figures.plane import Points, to_plane
from guided_dml.figures.retrieval_sheet import (
    WRONG,
    Pictures,
    queries_to_show,
    retrieval_figure,
)
from guided_dml.figures.scatter import embedding_figure, embedding_plot, teacher_figure
from guided_dml.figures.side_by_side import MapRow, embedding_grid
from guided_dml.figures.style import short
from guided_dml.pipelines.steps import run_title
from guided_dml.types import LabelledImages
from names import NAMES
from pixels import drawn

HISTORY = pd.DataFrame({"epoch": [1, 2], "loss": [2.0, 1.0], "learning_rate": [0.1, 0.05]})


@pytest.fixture
def images(make_images: Callable[..., LabelledImages]) -> LabelledImages:
    return make_images(per_class=5, classes=3, shape=(3, 6, 4))


@pytest.fixture
def points(images: LabelledImages) -> list[Points]:
    rng = np.random.default_rng(0)
    xy = rng.normal(size=(15, 2)).astype(np.float32)
    arrays: dict[str, Any] = {"embeddings": xy, "labels": images.labels}
    return to_plane({"training images": arrays, "test images": arrays}, most=100)


def test_embedding_figure_has_a_panel_a_set_and_a_legend(
    points: list[Points], images: LabelledImages
) -> None:
    figure = embedding_figure(points, images.classes, "a heading")
    assert [axes.get_title() for axes in figure.axes] == [
        "training images (15)",
        "test images (15)",
    ]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == images.classes
    assert drawn(figure).std() > 0


def test_embedding_plot_shows_every_point_once(
    points: list[Points], images: LabelledImages
) -> None:
    plot = embedding_plot(points, images.classes, "a heading")
    assert sum(len(trace.x) for trace in plot.data) == 30
    assert {trace.name for trace in plot.data} == set(images.classes)
    assert sum(bool(trace.showlegend) for trace in plot.data) == 3


def test_plotly_is_handed_text_that_it_reads_as_text(points: list[Points]) -> None:
    points = [replace(one, names=["<i>$x$%{x}</i>"] * 15) for one in points]
    plot = embedding_plot(points, ["<b>", "%{y}", "$z$"], "a <a> heading")
    assert [trace.name for trace in plot.data[:3]] == ["&lt;b&gt;", "%{y}", "&#36;z&#36;"]
    assert [trace.meta for trace in plot.data[:3]] == [trace.name for trace in plot.data[:3]]
    assert {trace.hovertemplate for trace in plot.data} == {
        "%{meta}<br>%{customdata}<extra></extra>"
    }
    assert plot.data[0].customdata[0] == "&lt;i&gt;&#36;x&#36;%{x}&lt;/i&gt;"
    assert plot.layout.title.text == "a &lt;a&gt; heading"


def test_teacher_and_loss_figures_can_be_drawn(
    points: list[Points], images: LabelledImages
) -> None:
    figure = teacher_figure(points[0], HISTORY, images.classes, "a heading")
    assert drawn(figure).std() > 0
    sizes = {text.get_fontsize() for axes in figure.axes for text in axes.get_xticklabels()}
    assert len(sizes) == 1
    figure = loss_figure(HISTORY, "a heading")
    (line,) = figure.axes[0].get_lines()
    assert np.asarray(line.get_ydata()).tolist() == [2.0, 1.0]
    assert drawn(figure).std() > 0


def test_sheet_marks_neighbours_of_another_class(images: LabelledImages) -> None:
    neighbours = np.array([[0, 1], [14, 2]])
    names = [f"class/image_{i}.png" for i in range(14)] + ["14"]
    query = Pictures(images.images[:2], images.labels[:2], ["0", "b.png"])
    figure = retrieval_figure(
        query,
        Pictures(images.images, images.labels, names),
        images.classes,
        neighbours,
        np.array([0, 1]),
        "a heading",
    )
    texts = figure.axes[0].texts
    assert [text.get_text() for text in texts[1::2]] == [
        "image 0",
        "class/im…e_0.png",
        "class/im…e_1.png",
        "b.png",
        "image 14",
        "class/im…e_2.png",
    ]
    colours = [text.get_color() for text in texts[::2]]
    assert [colour == WRONG for colour in colours] == [False, False, False, False, True, False]
    shown = [np.asarray(image.get_array()).shape for image in figure.axes[0].images]
    assert shown == 6 * [(6, 4, 3)]
    left, right, bottom, top = figure.axes[0].images[0].get_extent()
    assert (bottom - top) / (right - left) == pytest.approx(6 / 4)
    assert 0 < top < bottom  # (inches from the figure's top, as its axis has them)
    assert figure.axes[0].get_ylim()[0] > figure.axes[0].get_ylim()[1] == 0
    assert drawn(figure).std() > 0


def test_sheet_shows_each_class_and_then_mistakes() -> None:
    labels = np.array([1, 1, 0, 0, 2, 2])
    right = np.array([True, False, True, True, False, False])
    assert queries_to_show(labels, right).tolist() == [2, 0, 4, 1, 5]
    assert queries_to_show(labels, right, most=2, mistakes=1).tolist() == [2, 0, 1]


def test_a_figure_says_of_which_run_it_is_whatever_was_stored() -> None:
    assert run_title("guided on digits", HISTORY.assign(seed=7)) == "guided on digits, seed 7"
    assert run_title("guided on digits", HISTORY) == "guided on digits"


def named() -> tuple[list[Points], Pictures]:
    """One point and one image of each of the hard names."""
    count = len(NAMES)
    arrays: dict[str, Any] = {
        "embeddings": np.random.default_rng(0).normal(size=(count, 2)).astype(np.float32),
        "labels": np.arange(count),
        "names": NAMES,
    }
    images = np.zeros((count, 3, 2, 2), np.uint8)
    return to_plane(dict.fromkeys(NAMES[:2], arrays), 100), Pictures(
        images, np.arange(count), NAMES
    )


@pytest.mark.parametrize("name", [NAMES[0], NAMES[1], NAMES[-3]])
def test_any_names_can_be_drawn(name: str) -> None:
    points, pictures = named()
    heading, rows = f"guided on {name}, seed 0", np.arange(len(NAMES))
    figures = [
        embedding_figure(points, NAMES, heading),
        teacher_figure(points[0], HISTORY, NAMES, heading),
        embedding_grid([MapRow(name, NAMES, [points[0], "not run"])], [name, "b"], heading),
        retrieval_figure(
            pictures,
            pictures,
            NAMES,
            rows[-len(rows) // 5 * 5 :].reshape(-1, 5),
            rows[::5],
            heading,
        ),
    ]
    for figure in figures:
        assert drawn(figure).std() > 0
        assert name in figure.get_suptitle()
    assert [text.get_text() for text in figures[0].legends[0].get_texts()] == [*map(short, NAMES)]
    embedding_plot(points, NAMES, heading).to_json().encode()


@pytest.mark.parametrize("count", [1, 2, 30, 100, 1000])
def test_legends_name_as_many_classes_as_can_be_read(count: int) -> None:
    arrays: dict[str, Any] = {
        "embeddings": np.random.default_rng(0).normal(size=(count, 2)).astype(np.float32),
        "labels": np.arange(count),
    }
    classes = [f"class number {i}" for i in range(count)]
    figure = embedding_figure(to_plane({"images": arrays}, 2000), classes, "a heading")
    figure.savefig(io.BytesIO(), dpi=50)
    (legend,) = figure.legends
    named = [text.get_text() for text in legend.get_texts()]
    assert named == (classes if count <= 100 else [*classes[:99], "and 901 more"])
    shown, page = legend.get_window_extent(), figure.bbox
    assert page.y0 <= shown.y0 < shown.y1 <= page.y1
    assert shown.x1 <= page.x1
    assert figure.axes[0].get_window_extent().width > 0.25 * page.width
