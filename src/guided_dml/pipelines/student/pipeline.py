"""The pipeline of a method's training."""

from functools import partial, update_wrapper

from kedro.pipeline import Node, Pipeline

from guided_dml.methods import METHODS
from guided_dml.pipelines.student.nodes import train_student


def create_pipeline(method: str) -> Pipeline:
    """Return the pipeline that trains the student by a method.

    Args:
        method: Its namespace, and its block of parameters.
    """
    guided = METHODS[method].follows_teacher
    inputs = [
        "train_images",
        "normalisation",
        "split",
        "classes",
        "data_report",
        "params:student",
        f"params:{method}",
        "params:data.raw_pixel_training",
        "params:evaluation.flip_average",
        "params:compute",
        "params:seed",
        "checkpoints",
        *(["teacher_embeddings"] if guided else []),
    ]
    train = Node(
        update_wrapper(partial(train_student, method=method), train_student),
        inputs,
        ["weights", "history", "card", *(["head"] if METHODS[method].classifies else [])],
        name="train_student" if guided else "train_baseline",
        tags="train",
    )
    parameters = {name for name in inputs if name.startswith("params:")}
    return Pipeline([train], namespace=method, inputs={*inputs} - parameters, parameters=parameters)
