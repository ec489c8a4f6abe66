"""The pipeline of a baseline's training."""

from kedro.pipeline import Node, Pipeline

from guided_dml.pipelines.baselines.nodes import train_baseline


def create_pipeline(method: str) -> Pipeline:
    """Return the pipeline that trains a baseline.

    Args:
        method: Its namespace, and its block of parameters.
    """
    train = Node(
        train_baseline,
        [
            "train_images",
            "normalisation",
            "split",
            "params:student",
            "params:baseline",
            "params:data.raw_pixel_training",
            "params:compute",
            "params:seed",
            "checkpoints",
        ],
        ["weights", "history"],
        name="train_baseline",
    )
    shared = ("student", "data.raw_pixel_training", "compute", "seed")
    return Pipeline(
        [train],
        namespace=method,
        inputs={"train_images", "normalisation", "split", "checkpoints"},
        parameters={
            **{f"params:{name}": f"params:{name}" for name in shared},
            "params:baseline": f"params:{method}",
        },
    )
