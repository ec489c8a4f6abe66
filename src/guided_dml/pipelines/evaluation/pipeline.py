"""The evaluation pipeline, the same for every method."""

from kedro.pipeline import Node, Pipeline

from guided_dml.pipelines.evaluation.nodes import (
    draw_embeddings,
    draw_loss,
    draw_neighbours,
    embed_images,
    score_embeddings,
    write_embedding_page,
)

IMAGES = ["train_images", "test_images"]
EMBEDDINGS = ["reference_embeddings", "query_embeddings"]
#: What is written beside what is drawn.
CALLED = ["image_names", "split", "classes", "params:evaluation.split", "history", "run"]


def create_pipeline(method: str) -> Pipeline:
    """Return the pipeline that scores and draws what ``method`` learned.

    Args:
        method: The namespace of the method's weights and results.
    """
    nodes = [
        Node(
            embed_images,
            [
                "weights",
                "card",
                *IMAGES,
                "split",
                "params:evaluation",
                "params:compute",
            ],
            EMBEDDINGS,
            name="embed_images",
            tags="score",
        ),
        Node(
            score_embeddings,
            [*EMBEDDINGS, "params:compute", "params:seed"],
            "scores",
            name="score_embeddings",
            tags="score",
        ),
        Node(draw_loss, ["history", "run"], "loss_figure", name="draw_loss", tags="figures"),
        Node(
            draw_embeddings,
            [*EMBEDDINGS, *CALLED],
            ["embedding_figure", "embedding_plot"],
            name="draw_embeddings",
            tags="figures",
        ),
        Node(
            write_embedding_page,
            [*EMBEDDINGS, *IMAGES, *CALLED, "params:page"],
            "embedding_page",
            name="write_embedding_page",
            tags="figures",
        ),
        Node(
            draw_neighbours,
            [*EMBEDDINGS, *IMAGES, *CALLED],
            "retrieval_figure",
            name="draw_neighbours",
            tags="figures",
        ),
    ]
    return Pipeline(
        nodes,
        namespace=method,
        inputs={*IMAGES, "image_names", "split", "classes"},
        parameters={
            "params:evaluation",
            "params:evaluation.split",
            "params:compute",
            "params:page",
            "params:seed",
        },
        prefix_datasets_with_namespace=True,
    )
