from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from guided_dml.datasets.new_images import NewImagesDataset
from guided_dml.errors import InputError
from guided_dml.inference.images import Rules

RULES = Rules((8, 8), 1, "squash", "white")


def test_only_what_can_be_an_image_is_read(tmp_path: Path) -> None:
    for name in (".hidden.png", "new\nline.png", os.fsdecode(b"caf\xe9.png"), "UP.PNG"):
        Image.new("L", (9, 7)).save(tmp_path / name)
    (tmp_path / "broken.png").symlink_to("nowhere")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "folder.png" / "loop").symlink_to("..")
    os.mkfifo(tmp_path / "pipe.png")  # (to be read it would be waited for, for ever)
    read = NewImagesDataset(path=str(tmp_path)).load()
    assert sorted(read) == ["UP.PNG", "broken.png", "caf\\udce9.png", "new\nline.png"]
    assert read["caf\\udce9.png"](RULES).size == (7, 9)
    with pytest.raises(InputError, match=r"broken\.png: this image is damaged, or cannot be read"):
        read["broken.png"](RULES)
