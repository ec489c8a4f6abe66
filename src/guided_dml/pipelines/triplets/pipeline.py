"""The triplets pipeline."""

from kedro.pipeline import Node, Pipeline

from guided_dml.pipelines.triplets.nodes import draw_triplets


def create_pipeline() -> Pipeline:
    """Return the pipeline that draws the triplets."""
    return Pipeline(
        [
            Node(
                draw_triplets,
                ["train_images", "split", "classes", "params:triplets", "params:seed"],
                "triplets",
                name="draw_triplets",
                tags="data",
            )
        ]
    )
