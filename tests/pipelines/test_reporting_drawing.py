from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from kedro.io import DatasetError

from guided_dml.comparison.board import Comparison, read_comparisons
from guided_dml.figures.plane import Points
from guided_dml.metrics.protocol import as_bytes
from guided_dml.pipelines.reporting.drawing import atlas_groups, map_rows, panels
from scoreboard import about, abouts, by_id, clusters, partitions, run, run_id

LABELS = np.arange(40) % 10


def embedded(scale: float = 1, dimension: int = 2) -> dict[str, torch.Tensor]:
    embeddings = scale * clusters(LABELS, 0.3, 0, dimension)
    return {"embeddings": torch.from_numpy(embeddings), "labels": torch.from_numpy(LABELS)}


def images(rows: np.ndarray) -> dict[str, torch.Tensor]:
    pictures = np.zeros((len(rows), 1, 8, 8), np.uint8)
    names = as_bytes([f"{row}.png" for row in rows])
    arrays = {"images": pictures, "rows": rows, "labels": LABELS[rows], "names": names}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def compared(*runs: dict[str, Any]) -> list[Comparison]:
    return read_comparisons(abouts(about(), about(protocol="tuned")), by_id(runs))


def stored(*runs: dict[str, Any], **of: Any) -> dict[str, Callable[[], Any]]:
    return partitions({run_id(record): embedded(**of) for record in runs})


def test_panels_have_the_means_in_the_order_of_the_methods() -> None:
    runs = [run("softmax", 0, 0.5), run("guided", 0, 0.8), run("guided", 1, 0.9)]
    (panel,) = panels(compared(*runs))
    assert (panel.title, panel.names) == ("Digits, equal settings", ["Guided", "Softmax (control)"])
    assert panel.colours == [0, 6]
    np.testing.assert_allclose(panel.means[:, 0], [0.85, 0.5])
    assert np.isnan(panel.half_widths[1]).all()
    assert panel.seconds.tolist() == [62.0, 61.5]
    (panel,) = panels(compared(run("softmax", 0, 0.5) | {"resumed": True}))
    assert np.isnan(panel.seconds).all()


def test_the_grid_takes_the_lowest_stored_seed_and_leaves_gaps() -> None:
    runs = [run("guided", seed) for seed in (3, 4, 5)]
    runs += [run("margin", 0, protocol="tuned")]
    board = stored(runs[1]) | stored(runs[2], scale=7)
    rows, columns = map_rows(compared(*runs), board, most=20)
    assert columns == ["guided", "margin"]
    (guided, margin), empty = rows[0].maps, rows[1].maps
    assert isinstance(guided, Points)
    assert margin == "not run"
    assert len(guided.xy) == 20
    np.testing.assert_array_equal(guided.xy, embedded()["embeddings"].numpy()[guided.rows])
    assert empty == ["not run", "not stored"]


def test_more_than_two_dimensions_are_projected_and_say_so() -> None:
    rows, _ = map_rows(compared(run()), stored(run(), dimension=5), most=100)
    assert rows[0].title.endswith("principal components of 5 dimensions")


def damaged() -> Any:
    raise DatasetError("half a file")


@pytest.mark.parametrize(
    ("load", "reason"),
    [
        (damaged, "cannot be read: half a file"),
        (lambda: {"embeddings": embedded()["embeddings"]}, "cannot be read: 'labels'"),
        (lambda: embedded() | {"labels": torch.zeros(3, dtype=torch.int64)}, "lengths"),
        (lambda: embedded() | {"labels": torch.full((40,), 10)}, "only 10 classes"),
    ],
)
def test_embeddings_that_do_not_fit_are_named_and_the_next_seed_is_taken(
    load: Callable[[], Any], reason: str, warned: list[str]
) -> None:
    runs = [run(seed=0), run(seed=1)]
    groups, _ = atlas_groups(compared(*runs), {**stored(runs[1]), run_id(runs[0]): load}, {})
    assert [choice.points.name for choice in groups[0].sets] == ["Guided, seed 1"]
    (message,) = warned
    assert run_id(runs[0]) in message
    assert reason in message


def test_the_atlas_shows_all_queries_and_the_stored_images() -> None:
    runs = [run("guided"), run("margin"), run("guided", protocol="tuned")]
    rows = np.array([1, 30, 39])
    groups, pictures = atlas_groups(
        compared(*runs), stored(*runs), partitions({"digits/d1/test": images(rows)})
    )
    assert [group.name for group in groups] == ["Digits, equal settings", "Digits, tuned settings"]
    (shown,) = pictures.values()
    assert list(pictures) == ["digits/d1/test"]
    assert shown.rows is not None
    assert shown.rows.tolist() == rows.tolist()
    assert len(shown.images) == 3
    for choice in (*groups[0].sets, *groups[1].sets):
        assert choice.picture == "digits/d1/test"
        assert choice.points.title.endswith("(40)")
        assert [choice.points.names[row] for row in (0, *rows)] == [
            "image 0",
            *(f"{row}.png" for row in rows),
        ]
        np.testing.assert_array_equal(choice.points.xy, embedded()["embeddings"].numpy())


@pytest.mark.parametrize("rows", [np.array([1, 2]), np.array([1, 40])])
def test_images_of_other_queries_are_not_shown(rows: np.ndarray, warned: list[str]) -> None:
    others = images(np.array([5, 6])) | {"rows": torch.from_numpy(rows)}
    groups, pictures = atlas_groups(
        compared(run()), stored(run()), partitions({"digits/d1/test": others})
    )
    assert not pictures
    assert groups[0].sets[0].picture is None
    assert len(groups[0].sets[0].points.rows) == 40
    assert "digits/d1/test are not those of" in warned[0]
