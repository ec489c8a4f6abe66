"""Files of small images, also of kinds that Pillow does not write."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

RNG = np.random.default_rng(0)


def draw(path: Path, mode: str = "L", size: tuple[int, int] = (6, 5), **options: Any) -> Path:
    """Store noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = RNG.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(path, **options)
    return path


def write_png(
    path: Path, bits: int, colour_type: int, row: bytes, size: int = 4, **more: bytes
) -> Path:
    """Write what Pillow cannot: any number of bits, and of any size; four equal rows are in it."""

    def chunk(kind: str, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind.encode() + content))
        return struct.pack(">I", len(content)) + kind.encode() + content + check

    header = struct.pack(">IIBBBBB", size, size, bits, colour_type, 0, 0, 0)
    chunks = {"IHDR": header, **more, "IDAT": zlib.compress(4 * (b"\0" + row)), "IEND": b""}
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(map(chunk, chunks, chunks.values())))
    return path
