"""The reporting pipeline: from every stored score to the report, on all data sets at once."""

from kedro.pipeline import Pipeline

from guided_dml.comparison.board import read_comparisons
from guided_dml.pipelines.reporting.nodes import (
    draw_embedding_grid,
    draw_methods,
    draw_robustness,
    write_atlas,
    write_report,
)
from guided_dml.pipelines.reporting.tables import long_table
from guided_dml.pipelines.steps import step


def create_pipeline() -> Pipeline:
    """Return the pipeline that reports on the runs of the current comparisons.

    ``scores_text`` is stored nowhere: `kedro compare` prints it.
    """
    runs, embeddings, images = "compared_runs", "scoreboard_embeddings", "scoreboard_images"
    texts = ["comparison_markdown", "comparison_latex", "scores_text"]
    measured = [f"comparison_{name}_figure" for name in ("severity", "shift", "few_shot")]
    shown = [runs, embeddings, images, "params:page"]
    return Pipeline(
        [
            step(read_comparisons, ["comparisons", "scoreboard"], runs, "report"),
            step(long_table, runs, "comparison_table", "report", name="tabulate_scores"),
            step(write_report, runs, texts, "report"),
            step(draw_methods, runs, ["comparison_figure", "cost_figure"], "report"),
            step(draw_robustness, runs, measured, "report"),
            step(draw_embedding_grid, [runs, embeddings], "embedding_grid_figure", "report"),
            step(write_atlas, shown, "atlas_page", "report"),
        ]
    )
