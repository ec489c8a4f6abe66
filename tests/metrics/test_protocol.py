from __future__ import annotations

import torch

from guided_dml.metrics.protocol import as_bytes, as_text, image_names_of, sets_of


def test_images_and_their_names_stay_together() -> None:
    train = {"images": torch.arange(5).view(5, 1, 1, 1), "labels": torch.zeros(5)}
    test = {"images": torch.arange(7, 9).view(2, 1, 1, 1), "labels": torch.zeros(2)}
    split = {"train": torch.tensor([0, 2, 4]), "validation": torch.tensor([1, 3])}
    names = {"train": list("01234"), "test": list("78")}
    for queried, last in (("test", "test images"), ("validation", "validation images")):
        sets, called = sets_of(train, test, split, queried), image_names_of(names, split, queried)
        assert [*sets] == [*called] == ["training images", last]
        for name, part in sets.items():
            assert called[name] == [str(pixel) for pixel in part["images"].flatten().tolist()]


def test_names_come_back_from_their_bytes() -> None:
    names = ["0", "cat/\u732b.png", "caf\u00e9" * 60]
    assert as_bytes(names).dtype == "uint8"
    assert as_text(as_bytes(names)) == names
