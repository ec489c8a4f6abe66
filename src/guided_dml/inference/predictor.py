"""From new images to answers: the same for the pipeline, the logged model and the server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from guided_dml.errors import InputError, failing_as
from guided_dml.inference.calibration import p_values
from guided_dml.inference.card import Card
from guided_dml.inference.images import read_image
from guided_dml.inference.search import Search, vote

Array = NDArray[Any]

#: Images that pass through the network at once.
BATCH = 64

#: What answers need of a gallery. (Its features are for search elsewhere, and large.)
NEEDED = ("embeddings", "labels", "learned", "weights")

#: Pixels of the longest side of a thumbnail.
LONGEST_SIDE = 64

#: What a predictor consists of, by the names of the datasets: each is one file.
PARTS = {
    "card": "card.json",
    "network": "network.onnx",
    "gallery": "gallery.safetensors",
    "gallery_names": "gallery_names.json",
    "calibration": "calibration.json",
}


def thumbnail(images: Array) -> Array:
    """Return uint8 ``[..., H, W]`` with rows and columns left out where they are too many."""
    step = -(-max(images.shape[-2:]) // LONGEST_SIDE)
    return np.ascontiguousarray(images[..., ::step, ::step])


#: What is told of an image, by :meth:`Predictor.rows`.
ANSWER = (
    "label",
    "confidence",
    "distance",
    "p_value",
    "known",
    "neighbours",
    "neighbour_labels",
    "distances",
    "neighbour_numbers",
)


class Answers(NamedTuple):
    """What is said of N images.

    Attributes:
        embeddings: float32 ``[N, D]``.
        labels: int64 ``[N]``, the vote of the nearest training images.
        confidence: float64 ``[N]``, the share of these votes.
        distances: float32 ``[N]``, to the nearest image that the network learned from.
        p_values: float64 ``[N]``, of being drawn like the validation images.
        known: bool ``[N]``, whether ``p > alpha``.
        neighbours: int64 ``[N, k]``, rows of the gallery, the nearest first.
        neighbour_distances: float32 ``[N, k]``.
    """

    embeddings: Array
    labels: Array
    confidence: Array
    distances: Array
    p_values: Array
    known: Array
    neighbours: Array
    neighbour_distances: Array


def _check(k: int, alpha: float) -> None:
    if k < 1 or not 0 <= alpha < 1:
        raise InputError(f"k={k}, alpha={alpha} given; k is 1 or more, alpha in [0, 1)")


class Network:
    """An exported network in onnxruntime."""

    def __init__(self, content: bytes, threads: int | None = None) -> None:
        """Open the content of a ``.onnx`` file, for so many threads (None: all cores).

        Raises:
            InputError: There is no onnxruntime, or it cannot read this.
        """
        try:
            import onnxruntime
        except ImportError as error:
            raise InputError(
                f"onnxruntime cannot be imported ({error}); install it: pip install onnxruntime"
            ) from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads or 0
        try:
            self._session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # (onnxruntime's errors have no common parent)
            reason = str(error).strip().splitlines()[0]
            raise InputError(f"the network is no ONNX file that can be read: {reason}") from error
        self.weights = self._session.get_modelmeta().custom_metadata_map.get("weights", "")

    def __call__(self, images: Array) -> tuple[Array, Array]:
        """Return embeddings, float32 ``[N, D]``, and features ``[N, F]`` of uint8 images."""
        batches = [images[at : at + BATCH] for at in range(0, len(images), BATCH)]
        made = [self._session.run(["embeddings", "features"], {"images": b}) for b in batches]
        embeddings, features = (np.concatenate(parts) for parts in zip(*made, strict=True))
        return embeddings, features


class Predictor:
    """A network, the training images' embeddings, and how far is far."""

    def __init__(
        self,
        card: Card,
        network: bytes,
        gallery: Mapping[str, Array],
        gallery_names: Sequence[str],
        calibration: Mapping[str, Any],
        threads: int | None = None,
    ) -> None:
        """Take what ``kedro run --pipelines=export`` stored.

        Args:
            card: What the network expects.
            network: The content of its ``.onnx`` file.
            gallery: Of M training images ``embeddings`` float32 ``[M, D]``, ``labels`` int64
                ``[M]`` and ``learned``, uint8 ``[M]``, 1 for those of ``split.train``.
            gallery_names: What these images are called.
            calibration: ``distances`` of validation images.
            threads: Of onnxruntime; None: all cores.

        Raises:
            InputError: The parts belong to different weights, or cannot be read.
        """
        self.card, self.network = card, Network(network, threads)
        others = {
            "network": self.network.weights,
            "gallery": bytes(gallery["weights"]).hex(),
            "calibration": calibration["weights"],
        }
        strange = [name for name, weights in others.items() if weights != card.weights]
        if strange:
            raise InputError(
                f"{', '.join(strange)}: made from other weights than the card of {card.name}, seed "
                f"{card.seed}; export anew"
            )
        counts = {len(gallery_names), *(len(gallery[name]) for name in NEEDED if name != "weights")}
        if len(counts) > 1:
            raise InputError(f"the gallery of {card.name} has other names or labels; export anew")
        self.gallery, self.gallery_names = gallery, gallery_names
        self._every = Search(gallery["embeddings"])
        self._learned = Search(gallery["embeddings"][gallery["learned"] == 1])
        self.calibration: list[float] = calibration["distances"]

    @classmethod
    def from_files(cls, files: Mapping[str, Path | str], threads: int | None = None) -> Predictor:
        """Open the files of an export, by their names in ``PARTS``.

        Raises:
            InputError: One is missing or cannot be read.
        """
        from safetensors.numpy import load

        read: dict[str, Callable[[bytes], Any]] = {"network": bytes, "gallery": load}
        parts = {}
        for name in PARTS:
            with failing_as(f"{files[name]} is missing or damaged; export anew"):
                parts[name] = read.get(name, json.loads)(Path(files[name]).read_bytes())
        with failing_as(f"{files['card']} or a file of its export is damaged; export anew"):
            needed = {name: parts["gallery"][name] for name in NEEDED}
            card = Card.of(parts["card"], files["card"])
            return cls(**parts | {"card": card, "gallery": needed}, threads=threads)

    def read(self, source: Path | bytes, name: str = "") -> Array:
        """Return an image as the network expects it, uint8 ``[C, H, W]``.

        Raises:
            InputError: It cannot be read; says why.
        """
        return read_image(source, self.card.rules, name).pixels

    def predict(self, images: Array, k: int = 5, alpha: float = 0.05) -> Answers:
        """Return the answers for uint8 images ``[N, C, H, W]``.

        Args:
            images: As :meth:`read` gives them, one or more.
            k: Nearest training images that are told, and vote.
            alpha: Share of images like the validation images that may be taken for unknown.

        Raises:
            InputError: k or alpha has no such value.
        """
        _check(k, alpha)
        embeddings, _ = self.network(images)
        neighbours, neighbour_distances = self._every.nearest(embeddings, k)
        labels, confidence = vote(self.gallery["labels"][neighbours])
        distances = self._learned.nearest(embeddings, 1)[1][:, 0]
        p = p_values(distances, self.calibration)
        return Answers(
            embeddings, labels, confidence, distances, p, p > alpha, neighbours, neighbour_distances
        )

    def answer(
        self, contents: Sequence[bytes], k: int = 5, alpha: float = 0.05
    ) -> list[dict[str, Any]]:
        """Return the answer for each image file's content; what cannot be read has an ``error``."""
        told: list[dict[str, Any]] = []
        for start in range(0, len(contents), BATCH):
            some: list[Array | InputError] = []
            for content in contents[start : start + BATCH]:
                try:
                    _check(k, alpha)
                    if not isinstance(content, bytes):  # (a text would be opened as a path)
                        raise InputError(f"a file's bytes are needed, not {type(content).__name__}")
                    some.append(self.read(content))
                except InputError as error:
                    some.append(error)
            pixels = [image for image in some if not isinstance(image, InputError)]
            found = iter(self.rows(self.predict(np.stack(pixels), k, alpha)) if pixels else ())
            told += [
                dict.fromkeys(ANSWER) | {"error": str(image)}
                if isinstance(image, InputError)
                else next(found) | {"error": None}
                for image in some
            ]
        return told

    def rows(self, answers: Answers) -> Iterator[dict[str, Any]]:
        """Yield the answer for each image in words: plain values, neighbours by name."""
        for at, label in enumerate(answers.labels):
            near = answers.neighbours[at]
            yield {
                "label": self.card.classes[label],
                "confidence": float(answers.confidence[at]),
                "distance": float(answers.distances[at]),
                "p_value": float(answers.p_values[at]),
                "known": bool(answers.known[at]),
                "neighbours": [self.gallery_names[row] for row in near],
                "neighbour_labels": [self.card.classes[self.gallery["labels"][r]] for r in near],
                "distances": [float(d) for d in answers.neighbour_distances[at]],
                "neighbour_numbers": near.tolist(),
            }
