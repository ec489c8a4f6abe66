"""The evaluation pipeline, the same for every method."""

from kedro.pipeline import Pipeline

from guided_dml.pipelines.evaluation.nodes import (
    draw_embeddings,
    draw_loss,
    draw_neighbours,
    embed_images,
    score_embeddings,
    write_embedding_page,
)
from guided_dml.pipelines.steps import step, within

IMAGES = ["train_images", "test_images"]
EMBEDDINGS = ["reference_embeddings", "query_embeddings"]
#: What is written beside what is drawn.
CALLED = ["image_names", "split", "classes", "params:evaluation.split", "history", "run"]


def create_pipeline(method: str) -> Pipeline:
    """Return the pipeline that scores and draws what ``method`` learned.

    Args:
        method: The namespace of the method's weights and results.
    """
    how = ["params:evaluation", "params:compute"]
    shown, figures = [*EMBEDDINGS, *IMAGES, *CALLED], ["embedding_figure", "embedding_plot"]
    nodes = [
        step(embed_images, ["weights", "card", *IMAGES, "split", *how], EMBEDDINGS, "score"),
        step(score_embeddings, [*EMBEDDINGS, "params:compute", "params:seed"], "scores", "score"),
        step(draw_loss, ["history", "run"], "loss_figure", "figures"),
        step(draw_embeddings, [*EMBEDDINGS, *CALLED], figures, "figures"),
        step(write_embedding_page, [*shown, "params:page"], "embedding_page", "figures"),
        step(draw_neighbours, shown, "retrieval_figure", "figures"),
    ]
    return within(method, nodes, {*IMAGES, "image_names", "split", "classes"})
