"""What crosses between nodes.

Light to import: no torch, pandas or matplotlib at run time, so that `kedro` starts quickly.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import matplotlib.figure
    import plotly.graph_objects
    from pandas import DataFrame
    from torch import Tensor

    from guided_dml.training import checkpoints

    #: Tensors by name.
    Tensors = dict[str, Tensor]
    #: A row an epoch: ``epoch``, ``loss``, ``learning_rate``, ``images_seen``.
    History = DataFrame
    #: Where trainings leave their state; None where they leave none.
    Checkpoints = checkpoints.CheckpointStore | None
    #: A picture, and an interactive plot.
    Figure = matplotlib.figure.Figure
    Plot = plotly.graph_objects.Figure
else:
    Tensors = History = Checkpoints = Figure = Plot = object


class LabelledImages(NamedTuple):
    """What every raw data set is read into.

    Attributes:
        images: uint8 ``[N, C, H, W]``, C is 1 (grey) or 3 (RGB).
        labels: int64 ``[N]``, indices into ``classes``.
        classes: The class names.
        facts: What the reader wants the data report to say (source, resized images ...).
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: list[str]
    facts: dict[str, Any]
