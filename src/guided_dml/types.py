"""What crosses between nodes.

Light to import: no torch, pandas or matplotlib at run time, so that `kedro` starts quickly.
"""

import hashlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable

    import matplotlib.figure
    import plotly.graph_objects
    from pandas import DataFrame
    from torch import Tensor

    from guided_dml.training import checkpoints

    #: Tensors by name.
    Tensors = dict[str, Tensor]
    Table = DataFrame
    #: A row an epoch: ``epoch``, ``loss``, ``learning_rate``, ``images_seen``, the run's ``seed``.
    History = DataFrame
    #: Where trainings leave their state; None where they leave none.
    Checkpoints = checkpoints.CheckpointStore | None
    #: What a network learns from: embeddings, float ``[B, D]``, and what is known of each image
    #: (its label, int64 ``[B]``, or its target, float ``[B, D]``), to a scalar.
    Objective = Callable[[Tensor, Tensor], Tensor]
    #: A picture, and an interactive plot.
    Figure = matplotlib.figure.Figure
    Plot = plotly.graph_objects.Figure
else:
    Tensors = Table = History = Checkpoints = Objective = Figure = Plot = object


class LabelledImages(NamedTuple):
    """What every raw data set is read into, whole.

    Attributes:
        images: uint8 ``[N, C, H, W]``, C is 1 (grey) or 3 (RGB).
        labels: int64 ``[N]``, indices into ``classes``.
        classes: The class names.
        names: What a person calls each image: its file, or its number.
        test: bool ``[N]``, the published test part; None where the source gives none.
        facts: What the reader wants the data report to say of the source.
        changed: What the reader did to some of the images (``resized`` ...), bool ``[N]`` each.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: list[str]
    names: list[str]
    test: NDArray[np.bool_] | None = None
    facts: dict[str, Any] = {}  # noqa: RUF012 (never changed)
    changed: dict[str, NDArray[np.bool_]] = {}  # noqa: RUF012

    def fingerprint(self) -> str:
        """Return a hash of all that a training or its report could depend on."""
        arrays: list[NDArray[Any]] = [self.images, self.labels]
        if self.test is not None:
            arrays.append(self.test)
        described = [self.classes, self.names, [(a.shape, str(a.dtype)) for a in arrays]]
        digest = hashlib.sha256(json.dumps(described).encode())
        for array in arrays:
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()
