"""A model that is served: answers, and what the page shows of its training images."""

from __future__ import annotations

import base64
import json
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from guided_dml.errors import InputError
from guided_dml.inference.plane import principal_plane
from guided_dml.inference.predictor import Predictor
from guided_dml.serving.export import Export

Array = NDArray[Any]

#: Steps of the map's coordinates, from one end to the other.
STEPS = 65535


class ServedModel:
    """An export, opened."""

    def __init__(self, export: Export, data_set: str, method: str) -> None:
        """Open the files.

        Raises:
            InputError: One cannot be read, is of other weights, or of another data set or method.
        """
        from safetensors import SafetensorError, safe_open

        # (one thread an answer: several are computed at once)
        self.predictor = Predictor.from_files(export.files, threads=1)
        card, self.version = self.predictor.card, export.version
        if card.name != f"{method}-{data_set}":
            raise InputError(
                f"{export.files['card']}: this is {card.name}, not {method}-{data_set}; bring back "
                "the files that belong there, or train and export anew"
            )
        try:  # (not read as a whole: of many images these are the largest part)
            thumbnails: Any = safe_open(export.files["gallery_images"], "numpy")
            self._thumbnails = thumbnails.get_slice("images")
        except (SafetensorError, OSError) as error:
            raise InputError(f"{export.files['gallery_images']}: {error}; export anew") from error
        if len(self) != self._thumbnails.get_shape()[0]:
            raise InputError(
                f"the export {export.version} of {card.name} has {len(self)} embeddings, but "
                "thumbnails of others; export anew"
            )
        embeddings = self.predictor.gallery["embeddings"]
        self._centre, self._axes, self._titles = principal_plane(embeddings)

    def __len__(self) -> int:
        return len(self.predictor.gallery["labels"])

    @property
    def name(self) -> str:
        """What the model is called."""
        return self.predictor.card.name

    def answer(self, pixels: Array, k: int, alpha: float) -> dict[str, Any]:
        """Return what is said of one image, uint8 ``[C, H, W]``, as plain values."""
        answers = self.predictor.predict(pixels[None], k, alpha)
        (told,) = self.predictor.rows(answers)
        return told | {
            "embedding": answers.embeddings[0].tolist(),
            "place": self._places(answers.embeddings)[0].tolist(),
            "model": self.name,
            "version": self.version,
        }

    def thumbnail(self, number: int) -> bytes:
        """Return a training image as a PNG file, as small as it is stored."""
        return png(self._thumbnails[number])

    def map(self) -> bytes:
        """Return all training images as points of a plane, as JSON.

        Coordinates are steps from ``low``, of ``step``; they and the labels are little-endian
        uint16 in base64.
        """
        places, card = self._places(self.predictor.gallery["embeddings"]), self.predictor.card
        low, step = places.min(0), np.ptp(places, axis=0) / STEPS
        # (an axis without spread has steps of 0: all are at its lowest)
        x, y = np.round((places - low) / np.where(step > 0, step, 1)).astype("<u2").T
        labels = self.predictor.gallery["labels"].astype("<u2")
        content = {
            "title": f"{card.method} on {card.data_set}",
            "version": self.version,
            "image_size": card.image_shape[1:],
            "classes": card.classes,
            "axes": [title for title in self._titles if title],
            "low": low.tolist(),
            "step": step.tolist(),
            "x": _base64(x.tobytes()),
            "y": _base64(y.tobytes()),
            "labels": _base64(labels.tobytes()),
        }
        return json.dumps(content).encode()

    def _places(self, embeddings: Array) -> NDArray[np.float64]:
        places: NDArray[np.float64] = (embeddings - self._centre) @ self._axes
        return places


def png(pixels: Array) -> bytes:
    """Return an image, uint8 ``[C, H, W]``, as a PNG file."""
    picture = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
    file = BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def data_url(picture: bytes) -> str:
    """Return a PNG file as text that a page shows."""
    return f"data:image/png;base64,{_base64(picture)}"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
