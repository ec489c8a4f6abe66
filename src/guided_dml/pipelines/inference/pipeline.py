"""The inference pipeline, the same for every method."""

from kedro.pipeline import Node, Pipeline

from guided_dml.inference.predictor import PARTS
from guided_dml.pipelines.inference.nodes import predict


def create_pipeline(method: str) -> Pipeline:
    """Return the pipeline that says of new images what ``method`` learned.

    Args:
        method: The namespace of its export.
    """
    parameters = ["params:inference", "params:compute.threads"]
    nodes = [
        Node(
            predict,
            ["new_images", *PARTS, "model", *parameters],
            ["predictions", "neighbours", "inference_report", "thumbnails"],
            name="predict",
        ),
    ]
    return Pipeline(
        nodes,
        namespace=method,
        inputs={"new_images"},
        parameters={*parameters},
        tags="inference",
        prefix_datasets_with_namespace=True,
    )
