"""The robustness pipeline, the same for every method; raw pixels stand beside it as a method."""

from kedro.pipeline import Node, Pipeline

from guided_dml.methods import METHODS
from guided_dml.pipelines.robustness.drawing import draw_corruptions, draw_maps, draw_ood
from guided_dml.pipelines.robustness.images import (
    make_corrupted_images,
    make_domain_images,
    make_ood_images,
)
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
from guided_dml.pipelines.steps import step, within
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
    seed = "params:split_seed"
    drawn = ["train_images", "map_images", seed]
    of_pixels = [
        step(flatten_pixels, IMAGES, EMBEDDINGS, "data"),
        *_scoring([], [], []),
        step(map_pixels, drawn, ["maps", "rival_maps"], "score"),
    ]
    corrupted = ["test_images", "params:robustness.queries", "params:robustness.families", seed]
    strange = ["test_images", "other_images", "params:robustness.ood", seed]
    domain = ["test_images", "classes", "params:robustness.domain"]
    some = ["test_images", "params:robustness.map_images", seed]
    sheet = ["test_images", "corrupted_images", "data_set"]
    shared = [
        step(make_corrupted_images, corrupted, ["corrupted_images", "corruption_report"], "data"),
        step(make_ood_images, strange, ["ood_images", "ood_report"], "data"),
        step(make_domain_images, domain, ["domain_images", "domain_report"], "data"),
        step(draw_corruptions, sheet, "corruptions_figure", "figures"),
        step(choose_map_images, some, "map_images", "data"),
    ]
    pixels = within("pixels", of_pixels, SHARED, OF_PIXELS)
    return Pipeline(shared) + pixels + within(method, of_method, SHARED)


def _scoring(network: list[str], head: list[str], beside: list[str]) -> list[Node]:
    """Return the steps that score a network, with its head if it has one, or raw pixels."""
    moved = ["corrupted_images", "domain_images", "params:student.shift", *HOW, *beside, *network]
    episodes = ["params:robustness.episodes", "params:split_seed"]
    unseen = [*UNSEEN, "split", *episodes, *HOW, *network, *head]
    ood = [*EMBEDDINGS, "ood_embeddings", "split", *head]
    classes = [*EMBEDDINGS, "classes", "params:split_seed"]
    return [
        step(score_corruptions, [*EMBEDDINGS, *moved], "corruptions", "score"),
        step(embed_ood, ["ood_images", *HOW, *network], "ood_embeddings", "score"),
        step(score_ood, ood, ["ood", "ood_distances"], "score"),
        step(score_subpopulations, classes, "subpopulation", "score"),
        step(score_unseen, [*EMBEDDINGS, *unseen], "unseen", "score"),
    ]


def _of_network() -> list[Node]:
    """Return the steps that raw pixels, which make no map, do not have."""
    called = ["classes", "history", "run"]
    mapped = [*EMBEDDINGS, "map_images", "rival_maps", *called]
    far = [*EMBEDDINGS, "ood_embeddings", "ood_distances", "split", *called]
    return [
        step(score_map, [*EMBEDDINGS, "map_images"], "maps", "score"),
        step(draw_maps, mapped, "maps_figure", "figures"),
        step(draw_ood, far, ["ood_figure", "ood_scores_figure"], "figures"),
    ]
