"""The steps of the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guided_dml.comparison.records import Comparison, Partitions, read_comparisons
from guided_dml.types import Figure

#: Points of one map in the grid of embeddings.
MAP_POINTS = 3_000

if TYPE_CHECKING:
    from pandas import DataFrame
else:
    DataFrame = object  # (Kedro resolves the annotations; pandas is not to be imported for that)


def gather_runs(comparisons: Partitions, scoreboard: Partitions) -> list[Comparison]:
    """Return the runs that belong to the current comparisons.

    Args:
        comparisons: ``<data set>/<protocol>`` to what loads the settings compared now.
        scoreboard: ``<data set>/<protocol>/<method>/<settings>/seed_<n>`` to what loads a run.
    """
    return read_comparisons(comparisons, scoreboard)


def tabulate_scores(compared: list[Comparison]) -> DataFrame:
    """Return the long table: means, intervals, the paper's figures and paired tests."""
    from guided_dml.pipelines.reporting.tables import long_table

    return long_table(compared)


def write_markdown(compared: list[Comparison]) -> str:
    """Return the report as Markdown."""
    from guided_dml.pipelines.reporting.report import sections
    from guided_dml.pipelines.reporting.writing import markdown

    return markdown(sections(compared))


def write_latex(compared: list[Comparison]) -> str:
    """Return the report as a LaTeX document."""
    from guided_dml.pipelines.reporting.report import sections
    from guided_dml.pipelines.reporting.writing import latex

    return latex(sections(compared))


def write_scores(compared: list[Comparison]) -> str:
    """Return the scores as text of 80 columns, which `kedro compare` prints."""
    from guided_dml.pipelines.reporting.report import sections
    from guided_dml.pipelines.reporting.writing import plain

    return plain(sections(compared))


def draw_scores(compared: list[Comparison]) -> Figure:
    """Draw the scores as bars with their intervals."""
    from guided_dml.figures.side_by_side import scores_figure
    from guided_dml.pipelines.reporting.drawing import panels

    return scores_figure(panels(compared), "mean over the seeds with its 95 % interval")


def draw_cost(compared: list[Comparison]) -> Figure:
    """Draw MAP@R against the seconds of a run."""
    from guided_dml.figures.side_by_side import cost_figure
    from guided_dml.pipelines.reporting.drawing import panels

    return cost_figure(panels(compared), "MAP@R", "what a run costs, and what it gives")


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


def write_atlas(compared: list[Comparison], embeddings: Partitions, images: Partitions) -> str:
    """Return a self-contained HTML page: any method on any data set, with its images.

    Args:
        compared: The runs.
        embeddings: Run to what loads the ``embeddings`` and ``labels`` of its queries.
        images: ``<data set>/<data version>/<queries>`` to what loads ``images``, ``rows`` and
            ``labels``.
    """
    from guided_dml.figures.page import atlas_page
    from guided_dml.pipelines.reporting.drawing import atlas_groups

    return atlas_page(*atlas_groups(compared, embeddings, images), "atlas of the embeddings")
