"""Progress bars that stay quiet when nobody watches a terminal."""

import os
from typing import NoReturn

from tqdm import tqdm


def progress_bar(description: str, total: int, unit: str = "images") -> "tqdm[NoReturn]":
    """Return a bar that counts on stderr, shown only where stderr is a terminal.

    The workers of a comparison share one, so there ``TQDM_DISABLE`` is set.

    Args:
        description: What is going on.
        total: How much in all.
        unit: Of what.
    """
    counts = f"{{n_fmt}}/{{total_fmt}} {unit}, {{remaining}} left{{postfix}}"
    return tqdm(
        desc=description,
        total=total,
        unit="",
        unit_scale=total >= 1000,
        bar_format=f"{{desc}} |{{bar}}| {counts}",  # (at 80 columns there is a bar left)
        disable=True if os.environ.get("TQDM_DISABLE") else None,
        leave=False,
        dynamic_ncols=True,
    )
