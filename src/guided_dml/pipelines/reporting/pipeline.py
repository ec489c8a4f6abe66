"""The reporting pipeline: from every stored score to the report, on all data sets at once."""

from kedro.pipeline import Node, Pipeline

from guided_dml.comparison.records import read_comparisons
from guided_dml.pipelines.reporting.nodes import (
    draw_embedding_grid,
    draw_methods,
    tabulate_scores,
    write_atlas,
    write_report,
)


def create_pipeline() -> Pipeline:
    """Return the pipeline that reports on the runs of the current comparisons.

    ``scores_text`` is stored nowhere: `kedro compare` prints it.
    """
    return Pipeline(
        [
            Node(
                read_comparisons,
                ["comparisons", "scoreboard"],
                "compared_runs",
                name="read_comparisons",
            ),
            Node(tabulate_scores, ["compared_runs"], "comparison_table", name="tabulate_scores"),
            Node(
                write_report,
                ["compared_runs"],
                ["comparison_markdown", "comparison_latex", "scores_text"],
                name="write_report",
            ),
            Node(
                draw_methods,
                ["compared_runs"],
                ["comparison_figure", "cost_figure"],
                name="draw_methods",
            ),
            Node(
                draw_embedding_grid,
                ["compared_runs", "scoreboard_embeddings"],
                "embedding_grid_figure",
                name="draw_embedding_grid",
            ),
            Node(
                write_atlas,
                ["compared_runs", "scoreboard_embeddings", "scoreboard_images"],
                "atlas_page",
                name="write_atlas",
            ),
        ],
        tags="report",
    )
