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
    names = (".hidden.png", "new\nline.png", os.fsdecode(b"caf\xe9.png"), "UP.PNG")
    for name in (*names, "caf\\udce9.png"):
        Image.new("L", (9, 7)).save(tmp_path / name)
    (tmp_path / "broken.png").symlink_to("nowhere")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "folder.png" / "loop").symlink_to("..")
    (tmp_path / "elsewhere").mkdir()
    Image.new("L", (9, 7)).save(tmp_path / "elsewhere" / "one.png")
    (tmp_path / "link").symlink_to("elsewhere")
    os.mkfifo(tmp_path / "pipe.png")  # (to be read it would be waited for, for ever)
    read = NewImagesDataset(path=str(tmp_path)).load()
    two = ["caf\\udce9.png", "caf\\udce9.png (4)"]  # (which look the same in print)
    linked = ["elsewhere/one.png", "link/one.png"]
    assert sorted(read) == ["UP.PNG", "broken.png", *two, *linked, "new\nline.png"]
    assert read["caf\\udce9.png"](RULES).size == (7, 9)
    with pytest.raises(InputError, match=r"broken\.png: this image is damaged, or cannot be read"):
        read["broken.png"](RULES)
