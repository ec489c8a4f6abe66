"""GEMINI, the multi-branch master: one convolutional stream per class, one shared head."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from guided_dml.blocks import GeminiParameters
from guided_dml.errors import InputError
from guided_dml.models.layers import ExactLinear, PReLU, PReLUMaxPool
from guided_dml.seeding import initial_weights


class Gemini(nn.Module):
    """The teacher (paper, section 3.1): it reads an image's label, so it only sees training data.

    An image of class c goes through stream c (Eq. 1), ``h = L_c(x)``, then through the head
    that all classes share, ``z = G(h)``.
    """

    def __init__(
        self,
        seed: int,
        image_shape: Sequence[int],
        classes: int,
        parameters: GeminiParameters,
        embedding_dimension: int,
    ) -> None:
        """Build the streams and the head, their weights drawn from ``seed``.

        Args:
            seed: Of the initial weights.
            image_shape: Channels, height and width of the images.
            classes: Number of classes, C.
            parameters: Kernel and padding of a stream's convolutions, hidden units of the head.
            embedding_dimension: D.

        Raises:
            InputError: The images are too small for two convolutions and two poolings.
        """
        super().__init__()
        channels, *sides = image_shape
        kernel, padding = parameters.kernel_size, parameters.padding
        hidden = parameters.hidden_units
        height, width = (_after_stream(length, kernel, padding) for length in sides)
        if min(height, width) < 1:
            raise InputError(
                f"images of {image_shape[1]}x{image_shape[2]} pixels are too small for GEMINI with "
                f"gemini.kernel_size={kernel} and gemini.padding={padding}; "
                "use a smaller kernel or more padding (8x8 images: 3 and 1)"
            )

        def stream() -> nn.Module:
            first = nn.Conv2d(channels, 32, kernel, padding=padding), PReLUMaxPool()
            second = nn.Conv2d(32, 64, kernel, padding=padding), PReLUMaxPool()
            return nn.Sequential(*first, *second, nn.Flatten())

        with initial_weights(seed, "gemini"):
            self.streams = nn.ModuleList(stream() for _ in range(classes))
            self.head = nn.Sequential(
                nn.Linear(64 * height * width, hidden),
                PReLU(),
                nn.Linear(hidden, hidden),
                PReLU(),
                ExactLinear(hidden, embedding_dimension),
            )

    def local(self, images: Tensor, label: int) -> Tensor:
        """Return ``h = L_c(x)`` of images that are all of class ``label``: float ``[N, L]``."""
        features: Tensor = self.streams[label](images)
        return features

    def forward(self, images: Tensor, label: int) -> Tensor:
        """Return ``z = G(L_c(x))`` of images that are all of class ``label``: float ``[N, D]``."""
        embeddings: Tensor = self.head(self.local(images, label))
        return embeddings


def _after_stream(length: int, kernel_size: int, padding: int) -> int:
    for _ in range(2):
        length = (length + 2 * padding - kernel_size + 1) // 2
    return length
