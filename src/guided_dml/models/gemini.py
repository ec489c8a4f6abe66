"""GEMINI, the multi-branch master: one convolutional stream per class, one shared head."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from guided_dml.blocks import GeminiParameters
from guided_dml.errors import InputError
from guided_dml.models.layers import ExactLinear, PReLU
from guided_dml.seeding import initial_weights


class Gemini(nn.Module):
    """The teacher (paper, section 3.1): it reads an image's label, so it only sees training data.

    An image of class c goes through stream c (Eq. 1), ``h = L_c(x)``, then through the head
    that all classes share, ``z = G(h)``.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        classes: int,
        *,
        kernel_size: int = 5,
        padding: int = 0,
        hidden_units: int = 256,
        embedding_dimension: int = 2,
    ) -> None:
        """Build the streams and the head.

        Args:
            image_shape: Channels, height and width of the images.
            classes: Number of classes, C.
            kernel_size: Side of the two convolutions of a stream, in pixels.
            padding: Zero padding of each convolution, in pixels.
            hidden_units: Width of the head's two hidden layers.
            embedding_dimension: D.

        Raises:
            InputError: The images are too small for two convolutions and two poolings.
        """
        super().__init__()
        channels = image_shape[0]
        side = [_after_stream(length, kernel_size, padding) for length in image_shape[1:]]
        if min(side) < 1:
            raise InputError(
                f"images of {image_shape[1]}x{image_shape[2]} pixels are too small for GEMINI with "
                f"gemini.kernel_size={kernel_size} and gemini.padding={padding}; "
                "use a smaller kernel or more padding (8x8 images: 3 and 1)"
            )
        self.streams = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, 32, kernel_size, padding=padding),
                PReLU(),
                nn.MaxPool2d(2),
                nn.Conv2d(32, 64, kernel_size, padding=padding),
                PReLU(),
                nn.MaxPool2d(2),
                nn.Flatten(),
            )
            for _ in range(classes)
        )
        self.head = nn.Sequential(
            nn.Linear(64 * side[0] * side[1], hidden_units),
            PReLU(),
            nn.Linear(hidden_units, hidden_units),
            PReLU(),
            ExactLinear(hidden_units, embedding_dimension),
        )

    @classmethod
    def seeded(
        cls,
        seed: int,
        image_shape: Sequence[int],
        classes: int,
        parameters: GeminiParameters,
        embedding_dimension: int,
    ) -> Gemini:
        """Return the master that ``parameters`` describe, its weights drawn from ``seed``."""
        with initial_weights(seed, "gemini"):
            return cls(
                image_shape,
                classes,
                kernel_size=parameters.kernel_size,
                padding=parameters.padding,
                hidden_units=parameters.hidden_units,
                embedding_dimension=embedding_dimension,
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
