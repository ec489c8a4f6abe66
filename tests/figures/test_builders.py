from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from guided_dml.figures.curves import loss_figure
from guided_dml.figures.plane import Points, to_plane
from guided_dml.figures.retrieval_sheet import WRONG, queries_to_show, retrieval_figure
from guided_dml.figures.scatter import embedding_figure, embedding_plot
from guided_dml.figures.teacher import teacher_figure
from guided_dml.types import LabelledImages

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


def drawn(figure: Figure) -> np.ndarray:
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=50)
    return np.asarray(Image.open(buffer))


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


def test_teacher_and_loss_figures_can_be_drawn(
    points: list[Points], images: LabelledImages
) -> None:
    assert drawn(teacher_figure(points[0], HISTORY, images.classes)).std() > 0
    figure = loss_figure(HISTORY, "a heading")
    (line,) = figure.axes[0].get_lines()
    assert np.asarray(line.get_ydata()).tolist() == [2.0, 1.0]
    assert drawn(figure).std() > 0


def test_sheet_marks_neighbours_of_another_class(images: LabelledImages) -> None:
    neighbours = np.array([[0, 1], [14, 2]])
    query = LabelledImages(images.images[:2], images.labels[:2], images.classes, [])
    figure = retrieval_figure(query, images, neighbours, np.array([0, 1]), "a heading")
    colours = [axes.title.get_color() for axes in figure.axes]
    assert [colour == WRONG for colour in colours] == [False, False, False, False, True, False]
    assert drawn(figure).std() > 0


def test_sheet_shows_each_class_and_then_mistakes() -> None:
    labels = np.array([1, 1, 0, 0, 2, 2])
    right = np.array([True, False, True, True, False, False])
    assert queries_to_show(labels, right).tolist() == [2, 0, 4, 1, 5]
    assert queries_to_show(labels, right, most=2, mistakes=1).tolist() == [2, 0, 1]
