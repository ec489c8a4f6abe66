"""The ingestion pipeline."""

from kedro.pipeline import Node, Pipeline

from guided_dml.pipelines.ingestion.nodes import (
    Prepared,
    fit_normalisation,
    prepare_images,
    score_raw_pixels,
    split_training_set,
)


def create_pipeline() -> Pipeline:
    """Return the pipeline from the raw images to the model's inputs."""
    return Pipeline(
        [
            Node(
                prepare_images,
                [
                    "raw_images",
                    "params:data.test_share",
                    "params:data.images_per_class",
                    "params:data.classes",
                    "params:data.imbalance_factor",
                    "params:split_seed",
                ],
                [*Prepared._fields],
                name="prepare_images",
                tags="data",
            ),
            Node(
                split_training_set,
                ["train_images", "params:data.validation_share", "params:split_seed"],
                "split",
                name="split_training_set",
                tags="data",
            ),
            Node(
                fit_normalisation,
                ["train_images", "split"],
                "normalisation",
                name="fit_normalisation",
                tags="data",
            ),
            Node(
                score_raw_pixels,
                ["train_images", "test_images", "params:compute"],
                "pixel_scores",
                name="score_raw_pixels",
                tags="score",
            ),
        ]
    )
