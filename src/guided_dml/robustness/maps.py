"""How well a map of two dimensions shows images: its neighbourhoods, beside PCA, LDA and NCA."""

from __future__ import annotations

from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from guided_dml.errors import InputError
from guided_dml.inference.plane import principal_plane
from guided_dml.metrics.neighbours import checked
from guided_dml.robustness.subpopulation import recall_of_classes
from guided_dml.seeding import derived_seed
from guided_dml.types import Tensors

Integers = NDArray[np.int64]
Points = NDArray[np.float32]

#: Neighbours of a point; of few points fewer, as their ranks must reach beyond.
NEIGHBOURS = 20

#: NCA learns from so many images, in so many principal components: it holds all pairs.
NCA_IMAGES, NCA_COMPONENTS = 3_000, 50


class Rival(NamedTuple):
    """Another way to a map.

    Attributes:
        title: What tables call it.
        uses_labels: Whether it learns from labels, as the compared methods do.
    """

    title: str
    uses_labels: bool


RIVALS = {
    "pca": Rival("PCA", False),
    "lda": Rival("LDA", True),
    "nca": Rival("NCA", True),
}


class Map(NamedTuple):
    """Images in the plane.

    Attributes:
        reference: float32 ``[N, 2]``, training images.
        query: float32 ``[n, 2]``, test images.
        seconds: What fitting it and placing both took; None for a trained network.
    """

    reference: Points
    query: Points
    seconds: float | None = None


def map_of_embeddings(reference: Tensor, query: Tensor) -> Map:
    """Return embeddings ``[N, D]`` and ``[n, D]`` in the plane.

    With D > 2 it is that of the first two principal components of the references, the one that
    a run's figures show; with D = 1 all points are on a line.
    """
    seen = [checked("map", some).cpu().numpy().astype(np.float64) for some in (reference, query)]
    centre, axes, _ = principal_plane(seen[0])
    trained, tested = (((some - centre) @ axes).astype(np.float32) for some in seen)
    return Map(trained, tested)


def map_scores(
    drawn: Map, reference_labels: Tensor, labels: Tensor, pixel_ranks: Integers
) -> dict[str, float]:
    """Score a map of test images.

    Args:
        drawn: Of N training and n test images.
        reference_labels: int64 ``[N]``.
        labels: int64 ``[n]``.
        pixel_ranks: int64 ``[n, n]``, :func:`ranks` of the test images' pixels.

    Returns:
        ``trustworthiness`` and ``continuity`` against pixels (Venna and Kaski 2001): close points
        are close images, and the reverse; ``neighbourhood_hit`` (Paulovich et al. 2008): of the 20
        nearest other test images in the map, the share with the same label, a mean over the points;
        ``recall_at_1`` of the nearest training image in the map; ``silhouette`` of the classes in
        it (Rousseeuw 1987); and ``seconds``. What too few points or classes cannot tell is left
        out.

    Raises:
        InputError: Points are not finite, or there are none.
    """
    of_map, n = ranks(torch.from_numpy(drawn.query)), len(labels)
    truth, scores = labels.cpu().numpy(), dict[str, float]()
    k = min(NEIGHBOURS, (n - 1) // 2)  # (below n / 2, where trustworthiness is defined)
    if k:
        scores["trustworthiness"] = trustworthiness(pixel_ranks, of_map, k)
        scores["continuity"] = trustworthiness(of_map, pixel_ranks, k)
    scores |= neighbourhood_hit(of_map, labels)
    sets = (
        {"embeddings": torch.from_numpy(points), "labels": of}
        for points, of in ((drawn.reference, reference_labels), (drawn.query, labels))
    )
    scores["recall_at_1"] = float(np.mean([*recall_of_classes(*sets).values()]))
    if 1 < len(np.unique(truth)) < n:
        from sklearn.metrics import silhouette_score

        scores["silhouette"] = float(silhouette_score(drawn.query.astype(np.float64), truth))
    return scores if drawn.seconds is None else scores | {"seconds": drawn.seconds}


def neighbourhood_hit(shown: Integers, labels: Tensor) -> dict[str, float]:
    """Return ``neighbourhood_hit`` of :func:`map_scores`, unless points are too few.

    Args:
        shown: int64 ``[n, n]``, :func:`ranks` of the map.
        labels: int64 ``[n]``.
    """
    truth, k = labels.cpu().numpy(), min(NEIGHBOURS, (len(labels) - 1) // 2)
    near = (shown > 0) & (shown <= k)
    return {"neighbourhood_hit": float((truth[:, None] == truth)[near].mean())} if k else {}


def ranks(points: Tensor) -> Integers:
    """Return of each pair how many are nearer, the point itself first: int64 ``[n, n]``.

    Args:
        points: ``[n, D]``; of equally near ones the first counts as nearer.

    Returns:
        0 for the point itself, 1 for its nearest and so on, a row a point.
    """
    from scipy.spatial.distance import cdist

    exact = checked("map", points).cpu().numpy().astype(np.float64)
    if points.dtype == torch.uint8:  # (of whole numbers a product is exact, and much faster)
        lengths = np.square(exact).sum(1)
        squares = lengths[:, None] + lengths - 2 * exact @ exact.T
    else:
        squares = cdist(exact, exact, "sqeuclidean")
    np.fill_diagonal(squares, -1)  # (before others at the same place)
    order = squares.argsort(axis=1, kind="stable")
    found: Integers = np.empty_like(order)
    np.put_along_axis(found, order, np.arange(len(order))[None], axis=1)
    return found


def trustworthiness(truth: Integers, shown: Integers, k: int) -> float:
    """Return how few of the k nearest that are shown are far away in truth.

    Args:
        truth: int64 ``[n, n]``, :func:`ranks` of what is to be shown.
        shown: The same of the map.
        k: Below n / 2.

    Returns:
        In [0, 1], one minus the normalised sum of how far their true ranks exceed k.
    """
    n = len(truth)
    excess = np.maximum(truth[(shown > 0) & (shown <= k)] - k, 0).sum()
    return float(1 - 2 * excess / (n * k * (2 * n - 3 * k - 1)))


def rival_maps(reference: Tensors, query: Tensor, seed: int) -> dict[str, Map]:
    """Fit the rivals to training images, and put training and test images into their maps.

    PCA; linear discriminant analysis (LDA); and neighbourhood components analysis (NCA, Goldberger
    et al. 2004) of 50 principal components, from a stratified 3,000 of the training images.

    Args:
        reference: Training images: ``images`` uint8 ``[N, C, H, W]`` and ``labels`` int64 ``[N]``.
        query: Test images, uint8 ``[n, C, H, W]``.
        seed: Of random starts, and of the choice of the 3,000.

    Returns:
        A map each, by their names in RIVALS. LDA, whose dimensions are one fewer than the classes,
        is left out below three.

    Raises:
        InputError: There are fewer than three training images, or fewer than two pixels.
    """
    pixels, asked = (
        some.flatten(1).cpu().numpy().astype(np.float32) / 255
        for some in (reference["images"], query)
    )
    labels = reference["labels"].cpu().numpy()
    if min(pixels.shape[0] - 1, pixels.shape[1]) < 2:
        raise InputError(
            f"maps: {len(pixels)} training images of {pixels.shape[1]} values given; PCA, LDA and "
            "NCA need at least 3 images of 2"
        )
    maps = {}
    for name in RIVALS:
        if name == "lda" and len(np.unique(labels)) < 3:
            continue
        start = perf_counter()
        rows = stratified_rows(labels, NCA_IMAGES if name == "nca" else len(labels), seed)
        model = _rival(name, min(len(rows) - 1, pixels.shape[1]), seed)
        model.fit(pixels[rows], labels[rows])
        trained, tested = (model.transform(some).astype(np.float32) for some in (pixels, asked))
        maps[name] = Map(trained, tested, perf_counter() - start)
    return maps


def stratified_rows(labels: Integers, most: int, seed: int) -> Integers:
    """Choose at most so many rows of int64 ``[N]``, of each class its share, in rising order."""
    shuffled = np.random.default_rng(derived_seed(seed, "stratified rows")).permutation(len(labels))
    by_class = shuffled[labels[shuffled].argsort(kind="stable")]
    places = np.linspace(0, len(labels) - 1, min(most, len(labels))).round().astype(np.int64)
    return np.sort(by_class[places])


def _rival(name: str, components: int, seed: int) -> Any:
    from sklearn.decomposition import PCA
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.neighbors import NeighborhoodComponentsAnalysis
    from sklearn.pipeline import make_pipeline

    random = seed % 2**32
    if name == "pca":
        return PCA(2, random_state=random)
    if name == "lda":
        return LinearDiscriminantAnalysis(n_components=2)
    return make_pipeline(
        PCA(min(NCA_COMPONENTS, components), random_state=random),
        NeighborhoodComponentsAnalysis(2, random_state=random),
    )
