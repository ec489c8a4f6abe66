"""The distillation pipeline."""

from kedro.pipeline import Node, Pipeline

from guided_dml.pipelines.distillation.nodes import train_student

INPUTS = {"train_images", "normalisation", "split", "teacher_embeddings", "checkpoints"}
PARAMETERS = {
    "params:student",
    "params:guided",
    "params:data.raw_pixel_training",
    "params:compute",
    "params:seed",
}


def create_pipeline() -> Pipeline:
    """Return the pipeline that trains the guided student, in the namespace ``guided``."""
    train = Node(
        train_student,
        [
            "train_images",
            "normalisation",
            "split",
            "teacher_embeddings",
            "params:student",
            "params:guided",
            "params:data.raw_pixel_training",
            "params:compute",
            "params:seed",
            "checkpoints",
        ],
        ["weights", "history"],
        name="train_student",
    )
    return Pipeline([train], namespace="guided", inputs=INPUTS, parameters=PARAMETERS)
