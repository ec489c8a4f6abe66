"""The figures of a network's robustness."""

from __future__ import annotations

from guided_dml.comparison.names import set_name
from guided_dml.pipelines.steps import run_title
from guided_dml.types import Figure, History, Tensors

#: Images of which all corruptions are shown.
SHEETS = 2

#: Of one set in a picture.
MOST_POINTS = 5_000


def draw_corruptions(test_images: Tensors, corrupted_images: Tensors, run: str) -> Figure:
    """Draw the first of the corrupted images with all their corruptions."""
    from guided_dml.figures.corruption_sheet import corruption_sheet
    from guided_dml.robustness.names import FAMILIES

    first = corrupted_images["rows"][:SHEETS]
    corrupted = {
        name: images[:SHEETS].numpy() for name, images in corrupted_images.items() if name != "rows"
    }
    heading = f"{run}: corruptions, from the mildest to the most severe"
    return corruption_sheet(test_images["images"][first].numpy(), corrupted, FAMILIES, heading)


def draw_maps(
    reference_embeddings: Tensors,
    query_embeddings: Tensors,
    map_images: Tensors,
    rival_maps: Tensors,
    classes: list[str],
    history: History,
    run: str,
) -> Figure:
    """Draw the method's map of some test images beside those of PCA, LDA and NCA."""
    from guided_dml.figures.plane import to_plane
    from guided_dml.figures.side_by_side import MapRow, embedding_grid
    from guided_dml.robustness.maps import RIVALS

    titles = {name: RIVALS[name].title for name in RIVALS if name in rival_maps}
    own = query_embeddings["embeddings"][map_images["rows"]]
    shown = [own, *(rival_maps[name] for name in titles)]
    maps = [{"embeddings": some, "labels": map_images["labels"]} for some in shown]
    # (the network's as it is scored: in the plane of its training images)
    drawn = [to_plane({"training images": reference_embeddings, "test images": maps[0]})[1]]
    drawn += [to_plane({"test images": some})[0] for some in maps[1:]]
    heading = f"{run_title(run, history)}: its map of test images, beside PCA, LDA and NCA"
    dimension = own.shape[1]
    if dimension > 2:
        heading += f"\nits own: the first two principal components of {dimension} dimensions"
    columns = [run.partition(" on ")[0], *titles.values()]
    return embedding_grid([MapRow("test images", classes, [*drawn])], columns, heading)


def draw_ood(
    reference_embeddings: Tensors,
    query_embeddings: Tensors,
    ood_embeddings: Tensors,
    ood_distances: Tensors,
    split: Tensors,
    classes: list[str],
    history: History,
    run: str,
) -> tuple[Figure, Figure]:
    """Draw OOD images in the plane, and what their distances tell."""
    from guided_dml.figures.ood import ood_plane_figure, ood_scores_figure
    from guided_dml.figures.plane import to_plane

    arrays = {name: values.numpy() for name, values in ood_distances.items()}
    threshold = float(arrays["threshold"][0]) if len(arrays["threshold"]) else None
    learned, limit = reference_embeddings["embeddings"][split["train"]].numpy(), None
    if threshold and learned.shape[1] == 2:
        limit = (learned, threshold)
    titles = {name: set_name(name) for name in ood_embeddings}
    sets = {"training images": reference_embeddings, "test images": query_embeddings}
    strange = {
        titles[name]: {"embeddings": points, "labels": points.new_zeros(len(points)).long()}
        for name, points in ood_embeddings.items()
    }
    points = to_plane(sets | strange, MOST_POINTS)
    heading = f"{run_title(run, history)}: out-of-distribution images"
    colours = "black: the OOD images, grey: training images"
    if limit:
        colours += "; red: within are 95 % of the validation images"
    elif learned.shape[1] > 2:
        colours += "; in the plane of two principal components no threshold can be drawn"
    far = {title: arrays[f"strange.{name}"] for name, title in titles.items()}
    return (
        ood_plane_figure(points[:2], points[2:], limit, classes, f"{heading}\n{colours}"),
        ood_scores_figure(arrays["known"], far, threshold, arrays["risk"], heading),
    )
