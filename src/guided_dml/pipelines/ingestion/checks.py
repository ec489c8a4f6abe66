"""What of raw images is refused before anything is made of them."""

from __future__ import annotations

from unicodedata import category, normalize

import numpy as np

from guided_dml.errors import InputError
from guided_dml.types import LabelledImages

#: Unicode's control characters, halves of characters (what is no UTF-8), breaks of lines.
UNPRINTABLE = {"Cc", "Cs", "Zl", "Zp"}


def check_images(raw: LabelledImages) -> None:
    """Refuse what are no labelled images.

    Raises:
        InputError: A wrong shape, dtype, label or number of values.
    """
    images, labels, count = raw.images, raw.labels, len(raw.images)
    if images.dtype != np.uint8:
        raise InputError(f"raw_images: images are {images.dtype}; uint8 (0-255) is needed")
    if images.ndim != 4 or images.shape[1] not in (1, 3) or not images.size:
        raise InputError(
            f"raw_images: images have shape {images.shape}; "
            "[N, C, H, W] with C 1 (grey) or 3 (colour) and N > 0 is needed"
        )
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise InputError(
            f"raw_images: {count} images, but {labels.size} labels ({labels.dtype}); "
            "an integer each is needed"
        )
    if labels.min() < 0 or labels.max() >= len(raw.classes):
        raise InputError(
            f"raw_images: labels from {labels.min()} to {labels.max()}; 0 to "
            f"{len(raw.classes) - 1} are allowed, indices into its classes"
        )
    for what, values in {"names": raw.names, "test": raw.test, **raw.changed}.items():
        if values is not None and len(values) != count:
            raise InputError(
                f"raw_images: {count} images, but {len(values)} values of {what!r}; "
                "one each is needed"
            )
    if raw.test is not None and np.asarray(raw.test).dtype != bool:
        raise InputError("raw_images: its values of 'test' are no truth values (NumPy's bool)")


def check_names(classes: list[str]) -> None:
    """Refuse names that cannot be stored as text, or that a reader cannot tell apart.

    Raises:
        InputError: Names the class.
    """
    seen = dict[str, str]()
    for name in classes:
        if not isinstance(name, str):
            raise InputError(f"class {name!r}: its name is no text")
        letters = "".join(letter for letter in normalize("NFC", name) if category(letter) != "Cf")
        looks = " ".join(letters.split())
        if not looks or {category(letter) for letter in name} & UNPRINTABLE:
            raise InputError(
                f"class {name!a}: its name is blank, not UTF-8, or has control characters; "
                "rename it"
            )
        if looks in seen:
            raise InputError(
                f"two classes look the same, {name!r}: {seen[looks]!a} and {name!a}; "
                "rename one, or put their images together"
            )
        seen[looks] = name
