"""The steps of the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from guided_dml.blocks import PageParameters
from guided_dml.comparison.board import Comparison
from guided_dml.comparison.records import Partitions
from guided_dml.types import Figure

#: Points of one map in the grid of embeddings.
MAP_POINTS = 3_000

if TYPE_CHECKING:
    from guided_dml.figures.lines import Lines
    from guided_dml.figures.side_by_side import Panel


def write_report(compared: list[Comparison]) -> tuple[str, str, str]:
    """Return the report as Markdown and as LaTeX, and its scores for a terminal."""
    from guided_dml.pipelines.reporting.report import sections
    from guided_dml.pipelines.reporting.writing import latex, markdown, plain

    parts = sections(compared)
    return markdown(parts), latex(parts), plain(parts)


def draw_methods(compared: list[Comparison]) -> tuple[Figure, Figure]:
    """Draw the scores as bars with their intervals, and MAP@R against the seconds of a run."""
    from guided_dml.figures.side_by_side import cost_figure, scores_figure
    from guided_dml.pipelines.reporting.drawing import panels

    drawn = panels(compared)
    return (
        scores_figure(drawn, _what_is_shown(drawn)),
        cost_figure(drawn, "MAP@R", "what a run costs, and what it gives"),
    )


def draw_robustness(compared: list[Comparison]) -> tuple[Figure, Figure, Figure]:
    """Draw Recall@1 against severity and against that of clean images, and few-shot accuracy.

    Where nothing was measured, a sentence says so.
    """
    from guided_dml.figures.lines import few_shot_figure, severity_figure, shift_figure
    from guided_dml.pipelines.reporting.curves import few_shot_lines, severity_lines, shift_lines

    corruptions, splits = "--robustness corruptions", "--class-splits"
    both = "clean and corrupted images (dashed: nothing is lost)"
    return (
        _drawn(severity_figure, severity_lines(compared), "corrupted images", corruptions),
        _drawn(shift_figure, shift_lines(compared), both, corruptions),
        _drawn(few_shot_figure, few_shot_lines(compared), "a few images of new classes", splits),
    )


def _drawn(
    draw: Callable[[list[Lines], str], Figure], lines: list[Lines], heading: str, option: str
) -> Figure:
    from guided_dml.figures.lines import note_figure

    if not lines:
        return note_figure(f"not measured; kedro compare {option} measures it", heading)
    return draw(lines, f"{heading}: {_what_is_shown(lines)}")


def _what_is_shown(panels: Sequence[Panel]) -> str:
    several = any(np.isfinite(one.half_widths).any() for one in panels)
    return "mean over the seeds with its 95 % interval" if several else "one seed"


def draw_embedding_grid(compared: list[Comparison], embeddings: Partitions) -> Figure:
    """Draw where each method puts the queries, with its lowest seed.

    Args:
        compared: The runs.
        embeddings: Run to what loads the ``embeddings`` and ``labels`` of its queries.
    """
    from guided_dml.comparison.names import method_name
    from guided_dml.figures.side_by_side import embedding_grid
    from guided_dml.pipelines.reporting.drawing import map_rows

    rows, methods = map_rows(compared, embeddings, MAP_POINTS)
    names = [method_name(method) for method in methods]
    heading = "where each method puts the queries (its lowest seed; every map has its own scale)"
    return embedding_grid(rows, names, heading)


def write_atlas(
    compared: list[Comparison], embeddings: Partitions, images: Partitions, page: PageParameters
) -> str:
    """Return a self-contained HTML page: any method on any data set, with its images.

    Args:
        compared: The runs.
        embeddings: Run to what loads the ``embeddings`` and ``labels`` of its queries.
        images: ``<data set>/<data version>/<queries>`` to what loads ``images``, ``rows`` and
            ``labels``.
        page: How large it may be.
    """
    from guided_dml.figures.page import map_page
    from guided_dml.pipelines.reporting.drawing import atlas_groups

    groups, pictures = atlas_groups(compared, embeddings, images)
    return map_page(groups, pictures, "atlas of the embeddings", page.megabytes)
