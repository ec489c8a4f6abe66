"""The inference pipeline, the same for every method."""

from kedro.pipeline import Node, Pipeline

from guided_dml.inference.predictor import PARTS
from guided_dml.pipelines.inference.nodes import predict, write_inference_page


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
            ["predictions", "neighbours", "inference_report", "shown"],
            name="predict",
        ),
        Node(
            write_inference_page,
            [
                "predictions",
                "neighbours",
                "shown",
                "card",
                "gallery",
                "gallery_images",
                "gallery_names",
                "run",
                "params:page",
            ],
            "inference_page",
            name="write_inference_page",
        ),
    ]
    return Pipeline(
        nodes,
        namespace=method,
        inputs={"new_images"},
        parameters={*parameters, "params:page"},
        tags="inference",
        prefix_datasets_with_namespace=True,
    )
