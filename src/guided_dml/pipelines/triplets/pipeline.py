"""The triplets pipeline."""

from kedro.pipeline import Pipeline

from guided_dml.pipelines.steps import step
from guided_dml.pipelines.triplets.nodes import draw_triplets


def create_pipeline() -> Pipeline:
    """Return the pipeline that draws the triplets."""
    read = ["train_images", "split", "classes", "params:triplets", "params:seed"]
    return Pipeline([step(draw_triplets, read, "triplets", "data")])
