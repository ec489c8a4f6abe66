"""The export pipeline, the same for every method."""

from kedro.pipeline import Node, Pipeline

from guided_dml.inference.predictor import PARTS
from guided_dml.pipelines.export.nodes import (
    calibrate,
    describe_model,
    embed_gallery,
    export_network,
)

DATA = ["train_images", "split"]


def create_pipeline(method: str) -> Pipeline:
    """Return the pipeline that makes files of what ``method`` learned.

    Args:
        method: The namespace of its weights.
    """
    nodes = [
        Node(
            export_network,
            ["weights", "card", *DATA, "params:compute"],
            ["network", "parity"],
            name="export_network",
        ),
        Node(
            embed_gallery,
            ["network", "card", *DATA, "image_names", "params:compute"],
            ["gallery", "gallery_names", "gallery_images"],
            name="embed_gallery",
        ),
        Node(calibrate, ["gallery", "card"], "calibration", name="calibrate"),
        Node(describe_model, [*PARTS, "parity"], "model", name="describe_model"),
    ]
    return Pipeline(
        nodes,
        namespace=method,
        inputs={*DATA, "image_names"},
        parameters={"params:compute"},
        tags="export",
        prefix_datasets_with_namespace=True,
    )
