"""The pipeline of a method's training."""

from functools import partial, update_wrapper

from kedro.pipeline import Pipeline

from guided_dml.methods import METHODS
from guided_dml.pipelines.steps import step, within
from guided_dml.pipelines.student.nodes import train_student


def create_pipeline(method: str) -> Pipeline:
    """Return the pipeline that trains the student by a method.

    Args:
        method: Its namespace, and its block of parameters.
    """
    guided = METHODS[method].follows_teacher
    data = ["train_images", "normalisation", "split", "classes", "data_report"]
    names = ["student", method, "data.raw_pixel_training", "evaluation.flip_average"]
    parameters = [f"params:{name}" for name in (*names, "compute", "seed")]
    kept = ["checkpoints", *(["teacher_embeddings"] if guided else [])]
    train = step(
        update_wrapper(partial(train_student, method=method), train_student),
        [*data, *parameters, *kept],
        ["weights", "history", "card", *(["head"] if METHODS[method].classifies else [])],
        "train",
        name="train_student" if guided else "train_baseline",
    )
    return within(method, [train], {*data, *kept})
