"""The GEMINI pipeline."""

from kedro.pipeline import Node, Pipeline

from guided_dml.pipelines.gemini.nodes import train_gemini


def create_pipeline() -> Pipeline:
    """Return the pipeline that trains the master."""
    return Pipeline(
        [
            Node(
                train_gemini,
                [
                    "train_images",
                    "normalisation",
                    "triplets",
                    "split",
                    "params:gemini",
                    "params:student.embedding_dimension",
                    "params:data.raw_pixel_training",
                    "params:compute",
                    "params:seed",
                    "checkpoints",
                ],
                ["gemini_weights", "gemini_history"],
                name="train_gemini",
                tags="train",
            )
        ]
    )
