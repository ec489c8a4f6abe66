"""The audit pipeline: it needs the images of the ingestion, nothing that was trained before."""

from functools import partial, update_wrapper

from kedro.pipeline import Node, Pipeline

from guided_dml.pipelines.audit.nodes import (
    find_duplicate_images,
    find_label_neighbours,
    list_findings,
    write_audit_page,
)

IMAGES = ["train_images", "test_images"]
FOUND = [*IMAGES, "image_names", "classes", "label_neighbours", "duplicates", "params:audit"]


def create_pipeline(method: str) -> Pipeline:
    """Return the pipeline that judges the labels by what ``method`` learns from the others.

    Args:
        method: Its namespace, and its block of parameters.
    """
    cross_fit = update_wrapper(partial(find_label_neighbours, method=method), find_label_neighbours)
    nodes = [
        Node(
            find_duplicate_images,
            [*IMAGES, "params:audit", "params:compute"],
            "duplicates",
            name="find_duplicate_images",
            tags="data",
        ),
        Node(
            cross_fit,
            [
                *IMAGES,
                "classes",
                "params:triplets",
                "params:gemini",
                "params:student",
                f"params:{method}",
                "params:data.raw_pixel_training",
                "params:evaluation.batch_size",
                "params:audit",
                "params:compute",
                "params:seed",
                "params:split_seed",
                "checkpoints",
            ],
            "label_neighbours",
            name="find_label_neighbours",
            tags="train",
        ),
        Node(list_findings, FOUND, ["audit", "audit_scores"], name="list_findings", tags="score"),
        Node(
            write_audit_page,
            [*FOUND, "run"],
            "audit_page",
            name="write_audit_page",
            tags="figures",
        ),
    ]
    inputs = {name for node in nodes for name in node.inputs}
    parameters = {name for name in inputs if name.startswith("params:")}
    return Pipeline(
        nodes,
        namespace=method,
        inputs={*IMAGES, "image_names", "classes", "checkpoints"},
        outputs={"duplicates"},
        parameters=parameters,
        prefix_datasets_with_namespace=True,
    )
