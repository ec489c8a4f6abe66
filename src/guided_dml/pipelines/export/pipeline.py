"""The export pipeline, the same for every method."""

from kedro.pipeline import Pipeline

from guided_dml.inference.predictor import PARTS
from guided_dml.pipelines.export.nodes import (
    calibrate,
    describe_model,
    embed_gallery,
    export_network,
)
from guided_dml.pipelines.steps import step, within

DATA = ["train_images", "split"]
GALLERY = ["gallery", "gallery_names", "gallery_images"]


def create_pipeline(method: str) -> Pipeline:
    """Return the pipeline that makes files of what ``method`` learned.

    Args:
        method: The namespace of its weights.
    """
    network, embedded = ["weights", "card", *DATA], ["network", "card", *DATA, "image_names"]
    nodes = [
        step(export_network, [*network, "params:compute"], ["network", "parity"], "export"),
        step(embed_gallery, [*embedded, "params:compute"], GALLERY, "export"),
        step(calibrate, ["gallery", "card"], "calibration", "export"),
        step(describe_model, [*PARTS, "parity"], "model", "export"),
    ]
    return within(method, nodes, {*DATA, "image_names"})
