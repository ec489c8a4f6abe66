"""The GEMINI pipeline."""

from kedro.pipeline import Pipeline

from guided_dml.pipelines.gemini.nodes import train_gemini
from guided_dml.pipelines.steps import step


def create_pipeline() -> Pipeline:
    """Return the pipeline that trains the master."""
    names = ["gemini", "student.embedding_dimension", "data.raw_pixel_training", "compute", "seed"]
    read = ["train_images", "normalisation", "triplets", "split"]
    read += [*(f"params:{name}" for name in names), "checkpoints"]
    return Pipeline([step(train_gemini, read, ["gemini_weights", "gemini_history"], "train")])
