"""The ingestion pipeline."""

from kedro.pipeline import Pipeline

from guided_dml.pipelines.ingestion.nodes import (
    Prepared,
    fit_normalisation,
    prepare_images,
    score_raw_pixels,
    split_training_set,
)
from guided_dml.pipelines.steps import step


def create_pipeline() -> Pipeline:
    """Return the pipeline from the raw images to the model's inputs."""
    names = ["test_share", "images_per_class", "classes", "imbalance_factor"]
    chosen = [*(f"params:data.{name}" for name in names), "params:split_seed"]
    held_out = ["params:data.validation_share", "params:split_seed"]
    sets = ["train_images", "test_images", "params:compute"]
    return Pipeline(
        [
            step(prepare_images, ["raw_images", *chosen], [*Prepared._fields], "data"),
            step(split_training_set, ["train_images", *held_out], "split", "data"),
            step(fit_normalisation, ["train_images", "split"], "normalisation", "data"),
            step(score_raw_pixels, sets, "pixel_scores", "score"),
        ]
    )
