"""Figures as pixels."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.figure import Figure
from PIL import Image


def drawn(figure: Figure, dpi: int = 50) -> np.ndarray:
    """Return what is stored of a figure, uint8 ``[H, W, 3]``."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=dpi)
    return np.asarray(Image.open(buffer).convert("RGB"))
