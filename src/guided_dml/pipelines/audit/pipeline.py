"""The audit pipeline: it needs the images of the ingestion, nothing that was trained before."""

from functools import partial, update_wrapper

from kedro.pipeline import Pipeline

from guided_dml.pipelines.audit.nodes import (
    find_duplicate_images,
    find_label_neighbours,
    list_findings,
    write_audit_page,
)
from guided_dml.pipelines.steps import step, within

IMAGES = ["train_images", "test_images"]
FOUND = [*IMAGES, "image_names", "classes", "label_neighbours", "duplicates", "params:audit"]


def create_pipeline(method: str) -> Pipeline:
    """Return the pipeline that judges the labels by what ``method`` learns from the others.

    Args:
        method: Its namespace, and its block of parameters.
    """
    cross_fit = update_wrapper(partial(find_label_neighbours, method=method), find_label_neighbours)
    parameters = ["triplets", "gemini", "student", method, "data.raw_pixel_training"]
    parameters += ["evaluation.batch_size", "audit", "compute", "seed", "split_seed"]
    learned = [*IMAGES, "classes", *(f"params:{name}" for name in parameters), "checkpoints"]
    nearness = ["params:audit", "params:compute"]
    nodes = [
        step(find_duplicate_images, [*IMAGES, *nearness], "duplicates", "data"),
        step(cross_fit, learned, "label_neighbours", "train"),
        step(list_findings, FOUND, ["audit", "audit_scores"], "score"),
        step(write_audit_page, [*FOUND, "run"], "audit_page", "figures"),
    ]
    shared = {*IMAGES, "image_names", "classes", "checkpoints"}
    return within(method, nodes, shared, outputs={"duplicates"})
