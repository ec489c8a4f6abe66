from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from guided_dml.types import LabelledImages


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: {"images": raw.images ^ 1},
        lambda raw: {"images": raw.images.reshape(36, 1, 4, 16)},
        lambda raw: {"labels": raw.labels[::-1]},
        lambda raw: {"labels": raw.labels.astype(np.int32)},
        lambda raw: {"classes": raw.classes[::-1]},
        lambda raw: {"names": raw.names[::-1]},
        lambda raw: {"test": raw.labels == 1},
    ],
)
def test_the_fingerprint_changes_with_the_content(
    make_images: Callable[..., LabelledImages],
    change: Callable[[LabelledImages], dict[str, Any]],
) -> None:
    raw = make_images()
    assert raw.fingerprint() == make_images()._replace(facts={"source": "x"}).fingerprint()
    assert raw._replace(**change(raw)).fingerprint() != raw.fingerprint()
