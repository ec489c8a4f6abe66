"""The reporting pipeline: from every stored score to the report, on all data sets at once."""

from collections.abc import Callable
from typing import Any

from kedro.pipeline import Node, Pipeline

from guided_dml.comparison.board import read_comparisons
from guided_dml.pipelines.reporting.nodes import (
    draw_embedding_grid,
    draw_methods,
    draw_robustness,
    tabulate_scores,
    write_atlas,
    write_report,
)


def create_pipeline() -> Pipeline:
    """Return the pipeline that reports on the runs of the current comparisons.

    ``scores_text`` is stored nowhere: `kedro compare` prints it.
    """
    runs, embeddings, images = "compared_runs", "scoreboard_embeddings", "scoreboard_images"
    texts = ["comparison_markdown", "comparison_latex", "scores_text"]
    robustness = ["severity", "shift", "few_shot"]
    steps: dict[Callable[..., Any], tuple[Any, Any]] = {
        read_comparisons: (["comparisons", "scoreboard"], runs),
        tabulate_scores: (runs, "comparison_table"),
        write_report: (runs, texts),
        draw_methods: (runs, ["comparison_figure", "cost_figure"]),
        draw_robustness: (runs, [f"comparison_{name}_figure" for name in robustness]),
        draw_embedding_grid: ([runs, embeddings], "embedding_grid_figure"),
        write_atlas: ([runs, embeddings, images, "params:page"], "atlas_page"),
    }
    return Pipeline(
        [Node(step, *data, name=step.__name__) for step, data in steps.items()], tags="report"
    )
