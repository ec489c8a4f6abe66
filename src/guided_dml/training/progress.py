"""Progress bars that stay quiet when nobody watches a terminal."""

from typing import NoReturn

from tqdm import tqdm


def progress_bar(description: str, total: int) -> "tqdm[NoReturn]":
    """Return a bar that counts images on stderr, shown only where stderr is a terminal.

    Args:
        description: What is going on.
        total: Images in all.
    """
    return tqdm(
        desc=description,
        total=total,
        unit=" images",
        unit_scale=True,
        disable=None,
        leave=False,
        dynamic_ncols=True,
    )
