"""Making the images that robustness is measured on: the same for all methods and seeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from guided_dml.types import Tensors


def make_corrupted_images(
    test_images: Tensors, queries: int | None, families: str, split_seed: int
) -> tuple[Tensors, dict[str, Any]]:
    """Corrupt some of the test images, of each class its share.

    Args:
        test_images: uint8 ``[N, C, H, W]`` with their labels.
        queries: At most so many are taken; None: all.
        families: Of corruptions, joined by ``+``; or all.
        split_seed: Of the choice, and of what corruptions draw.

    Returns:
        ``rows`` int64 ``[Q]`` of the test images and ``<family>.<severity>`` uint8
        ``[Q, C, H, W]``; and of each set its SHA-256 and the mean change in grey levels.
    """
    import numpy as np
    import torch

    from guided_dml.robustness.corruptions import corrupt, hash_of_images
    from guided_dml.robustness.maps import stratified_rows
    from guided_dml.robustness.names import SEVERITIES, chosen_families

    labels = test_images["labels"].numpy()
    rows = torch.from_numpy(stratified_rows(labels, queries or len(labels), split_seed))
    clean = test_images["images"][rows].numpy()
    made, report = {"rows": rows}, {}
    for family in chosen_families(families):
        for severity in SEVERITIES:
            images = corrupt(clean, family, severity, split_seed)
            name = f"{family}.{severity}"
            made[name] = torch.from_numpy(images)
            change = float(np.abs(images.astype(np.int16) - clean).mean())
            report[name] = {"sha256": hash_of_images(images), "mean_change": round(change, 3)}
    return made, {"queries": len(rows), **report}


def make_ood_images(
    test_images: Tensors,
    other_images: dict[str, Callable[[], Tensors]],
    ood: str,
    split_seed: int,
) -> tuple[Tensors, dict[str, Any]]:
    """Make out-of-distribution sets of the test images' size.

    Args:
        test_images: uint8 ``[N, C, H, W]``: how many and how large.
        other_images: The stored test images of all data sets.
        ood: Names of the sets, joined by ``+``.
        split_seed: Of what is drawn.

    Returns:
        Each set by its name, uint8 ``[M, C, H, W]``, and what it is, with its SHA-256.

    Raises:
        InputError: A data set is not stored.
    """
    import numpy as np
    import torch

    from guided_dml.robustness.names import MADE_SETS, sets_in
    from guided_dml.robustness.other_sets import made_set, matched, stored_images

    like, sets, report = test_images["images"].numpy(), {}, {}
    for name in sets_in(ood):
        if name in MADE_SETS:
            images, how = made_set(name, like, split_seed)
        else:
            given, version = stored_images(other_images, name)
            images, how = matched(given, like.shape[1:])
            how = f"test images of {name}, version {version}: {how}"
        sets[name] = torch.from_numpy(np.ascontiguousarray(images))
        report[name] = _described(images, how)
    return sets, report


def make_domain_images(
    test_images: Tensors, classes: list[str], domain: str | None
) -> tuple[Tensors, dict[str, Any]]:
    """Make images of the same classes from another domain, of the test images' size.

    Args:
        test_images: uint8 ``[N, C, H, W]``: how large.
        classes: Their classes.
        domain: ``digits``, or None.

    Returns:
        ``images`` and ``labels``, or nothing; and what they are, with their SHA-256.

    Raises:
        InputError: The other domain has other classes.
    """
    import numpy as np
    import torch

    from guided_dml.robustness.other_sets import digits_domain

    if not domain:
        return {}, {}
    images, labels, how = digits_domain(classes, test_images["images"].numpy().shape[1:])
    made = {"images": torch.from_numpy(np.ascontiguousarray(images))}
    report = {f"domain {domain}": _described(images, how)}
    return made | {"labels": torch.from_numpy(labels)}, report


def _described(images: Any, how: str) -> dict[str, Any]:
    from guided_dml.robustness.corruptions import hash_of_images

    return {"what": how, "images": len(images), "sha256": hash_of_images(images)}
