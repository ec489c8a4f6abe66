"""The robustness pipeline, the same for every method; raw pixels stand beside it as a method."""

from kedro.pipeline import Node, Pipeline

from guided_dml.methods import METHODS
from guided_dml.pipelines.robustness.drawing import draw_corruptions, draw_maps, draw_ood
from guided_dml.pipelines.robustness.images import image_nodes
from guided_dml.pipelines.robustness.nodes import (
    choose_map_images,
    embed_ood,
    flatten_pixels,
    map_pixels,
    score_corruptions,
    score_map,
    score_ood,
    score_subpopulations,
    score_unseen,
)
from guided_dml.robustness.names import MODULES

IMAGES = ["train_images", "test_images"]
UNSEEN = ["unseen_train_images", "unseen_test_images"]
MADE = ["corrupted_images", "domain_images", "ood_images", "map_images", "rival_maps"]
EMBEDDINGS = ["reference_embeddings", "query_embeddings"]
#: What every method reads.
SHARED = {*IMAGES, *UNSEEN, *MADE, "split", "classes", "pixel_corruptions"}
#: What is made of raw pixels, by what it is called of a method.
OF_PIXELS = {module: f"pixel_{module}" for module in MODULES} | {"rival_maps": "rival_maps"}
HOW = ["params:evaluation", "params:compute"]


def create_pipeline(method: str) -> Pipeline:
    """Return the pipeline that measures what ``method`` learned, and raw pixels beside it.

    Args:
        method: The namespace of its weights.
    """
    head = ["head"] if METHODS[method].classifies else []
    of_method = [*_scoring(["weights", "card"], head, ["pixel_corruptions"]), *_of_network()]
    of_pixels = [
        Node(flatten_pixels, IMAGES, EMBEDDINGS, name="flatten_pixels", tags="data"),
        *_scoring([], [], []),
        Node(
            map_pixels,
            ["train_images", "map_images", "params:split_seed"],
            ["maps", "rival_maps"],
            name="map_pixels",
            tags="score",
        ),
    ]
    shared = [
        *image_nodes(),
        Node(
            draw_corruptions,
            ["test_images", "corrupted_images", "data_set"],
            "corruptions_figure",
            name="draw_corruptions",
            tags="figures",
        ),
        Node(
            choose_map_images,
            ["test_images", "params:robustness.map_images", "params:split_seed"],
            "map_images",
            name="choose_map_images",
            tags="data",
        ),
    ]
    parts = [_within("pixels", of_pixels, OF_PIXELS), _within(method, of_method)]
    return sum(parts, Pipeline(shared))


def _scoring(network: list[str], head: list[str], beside: list[str]) -> list[Node]:
    """Return the steps that score a network, with its head if it has one, or raw pixels."""
    moved = ["corrupted_images", "domain_images", "params:student.shift"]
    drawn = ["params:robustness.episodes", "params:split_seed"]
    return [
        Node(
            score_corruptions,
            [*EMBEDDINGS, *moved, *HOW, *beside, *network],
            "corruptions",
            name="score_corruptions",
            tags="score",
        ),
        Node(
            embed_ood,
            ["ood_images", *HOW, *network],
            "ood_embeddings",
            name="embed_ood",
            tags="score",
        ),
        Node(
            score_ood,
            [*EMBEDDINGS, "ood_embeddings", "split", *head],
            ["ood", "ood_distances"],
            name="score_ood",
            tags="score",
        ),
        Node(
            score_subpopulations,
            [*EMBEDDINGS, "classes", "params:split_seed"],
            "subpopulation",
            name="score_subpopulations",
            tags="score",
        ),
        Node(
            score_unseen,
            [*EMBEDDINGS, *UNSEEN, "split", *drawn, *HOW, *network, *head],
            "unseen",
            name="score_unseen",
            tags="score",
        ),
    ]


def _of_network() -> list[Node]:
    """Return the steps that raw pixels, which make no map, do not have."""
    called = ["classes", "history", "run"]
    return [
        Node(score_map, [*EMBEDDINGS, "map_images"], "maps", name="score_map", tags="score"),
        Node(
            draw_maps,
            ["query_embeddings", "map_images", "rival_maps", *called],
            "maps_figure",
            name="draw_maps",
            tags="figures",
        ),
        Node(
            draw_ood,
            [*EMBEDDINGS, "ood_embeddings", "ood_distances", "split", *called],
            ["ood_figure", "ood_scores_figure"],
            name="draw_ood",
            tags="figures",
        ),
    ]


def _within(namespace: str, nodes: list[Node], outputs: dict[str, str] | None = None) -> Pipeline:
    """Return the steps in a namespace, with all that is not shared and no given output."""
    read = {name for node in nodes for name in node.inputs}
    return Pipeline(
        nodes,
        namespace=namespace,
        inputs=SHARED & read,
        outputs=outputs,
        parameters={name for name in read if name.startswith("params:")},
        prefix_datasets_with_namespace=True,
    )
