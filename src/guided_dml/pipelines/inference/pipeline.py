"""The inference pipeline, the same for every method."""

from kedro.pipeline import Pipeline

from guided_dml.inference.predictor import PARTS
from guided_dml.pipelines.inference.nodes import predict, write_inference_page
from guided_dml.pipelines.steps import step, within


def create_pipeline(method: str) -> Pipeline:
    """Return the pipeline that says of new images what ``method`` learned.

    Args:
        method: The namespace of its export.
    """
    asked = ["new_images", *PARTS, "model", "params:inference", "params:compute.threads"]
    answers = ["predictions", "neighbours", "inference_report", "shown"]
    known = ["card", "gallery", "gallery_images", "gallery_names", "run", "params:page"]
    told = ["predictions", "neighbours", "shown", *known]
    nodes = [
        step(predict, asked, answers, "inference"),
        step(write_inference_page, told, "inference_page", "inference"),
    ]
    return within(method, nodes, {"new_images"})
