"""The reporting pipeline: from every stored score to the report, on all data sets at once."""

from kedro.pipeline import Node, Pipeline

from guided_dml.pipelines.reporting.nodes import (
    draw_cost,
    draw_embedding_grid,
    draw_scores,
    gather_runs,
    tabulate_scores,
    write_atlas,
    write_latex,
    write_markdown,
    write_scores,
)


def create_pipeline() -> Pipeline:
    """Return the pipeline that reports on the runs of the current comparisons."""
    return Pipeline(
        [
            Node(gather_runs, ["comparisons", "scoreboard"], "compared_runs", name="gather_runs"),
            Node(tabulate_scores, ["compared_runs"], "comparison_table", name="tabulate_scores"),
            Node(write_markdown, ["compared_runs"], "comparison_markdown", name="write_markdown"),
            Node(write_latex, ["compared_runs"], "comparison_latex", name="write_latex"),
            Node(write_scores, ["compared_runs"], "scores_text", name="write_scores"),
            Node(draw_scores, ["compared_runs"], "comparison_figure", name="draw_scores"),
            Node(draw_cost, ["compared_runs"], "cost_figure", name="draw_cost"),
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
        ]
    )
