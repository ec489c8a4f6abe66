"""One image as pixels, from a file or from the bytes of one."""

from __future__ import annotations

import math
import struct
import warnings
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageOps, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from guided_dml.errors import InputError, failing_as, one_of

#: Pillow's names; nothing else is opened. (MPO, a camera's several JPEGs in one, is one of JPEG.)
FORMATS = ("PNG", "JPEG", "WEBP")
GREY_MODES = {"1", "L", "LA"}
COLOUR_MODES = {"RGB", "RGBA", "P", "CMYK", "YCbCr"}
#: The place of the orientation in EXIF; 1 is upright.
ORIENTATION, TURNED = 0x0112, range(2, 9)
#: Pillow spreads few bits of grey over 0-255, but not the one among them that is transparent.
GREY_STEPS = {"L;2": 85, "L;4": 17}


Resize = Literal["squash", "crop", "pad"]


class Rules(NamedTuple):
    """How images are made alike; the options of ImageFolderDataset.

    Attributes:
        image_size: The side, or height and width, in pixels; None: as they are.
        channels: 1 (grey), 3 (colour); None: as they are.
        resize: What becomes of an image of other proportions.
        background: A colour, below transparent pixels and beside padded images.
    """

    image_size: int | tuple[int, int] | None
    channels: int | None
    resize: Resize
    background: str

    def check(self) -> None:
        """Raise InputError if an option has no such value."""
        side = self.image_size
        positive, opaque = type(side) is int and side > 0, False
        with suppress(ValueError, TypeError, AttributeError):
            opaque = len(ImageColor.getrgb(self.background)) == 3
        checks = {
            "channels": (self.channels in (None, 1, 3), "1 (grey), 3 (colour) or null"),
            "image_size": (side is None or positive, "a number of pixels, or null"),
            "resize": (self.resize in get_args(Resize), one_of(get_args(Resize))),
            "background": (opaque, "a colour's name or '#rrggbb'"),
        }
        for option, (right, allowed) in checks.items():
            if not right:
                given = getattr(self, option)
                raise InputError(f"{option}: {given!r} given; must be {allowed}")


class ReadImage(NamedTuple):
    """An image, and what was done to it.

    Attributes:
        pixels: uint8 ``[C, H, W]``.
        size: Height and width as found, upright.
        changed: Of ``turned``, ``composited``, ``resized`` what applies.
    """

    pixels: NDArray[np.uint8]
    size: tuple[int, int]
    changed: set[str]


#: Reads one image as it is to be.
Reader = Callable[[Rules], ReadImage]


def printable(name: str) -> str:
    """Return a file's name as text that can be stored: bytes that are no UTF-8 are spelled out."""
    return name.encode("utf-8", "backslashreplace").decode()


def read_image(source: Path | bytes, rules: Rules, name: str = "") -> ReadImage:
    """Read a PNG, JPEG or WebP image.

    Args:
        source: A file, or the content of one.
        rules: What the image is made into.
        name: What messages call it; else they name the file, if it is one.

    Raises:
        InputError: It is none, is damaged, animated or too large, or has more than 8 bits.
    """
    name = name or ("" if isinstance(source, bytes) else str(source))
    where = f"{name}: " if name else ""
    unreadable = failing_as(f"{where}this image is damaged, or cannot be read")
    with unreadable, warnings.catch_warnings(action="ignore"):  # (of metadata that are no pixels)
        try:
            content = BytesIO(source) if isinstance(source, bytes) else source
            file = Image.open(content, formats=FORMATS)
        except UnidentifiedImageError as error:
            size = len(source) if isinstance(source, bytes) else source.stat().st_size
            what = "(PNG, JPEG, WebP)" if size else "but an empty file"
            raise InputError(f"{where}this is no image {what}; remove it") from error
        except Image.DecompressionBombError as error:
            raise _too_large(where) from error
        with file:
            _check(where, file)
            return _decoded(file, rules)


def _too_large(where: str) -> InputError:
    most = Image.MAX_IMAGE_PIXELS
    return InputError(
        f"{where}this image is too large; at most {most} pixels are read: make it smaller"
    )


def _check(where: str, file: ImageFile) -> None:
    if file.width * file.height > (Image.MAX_IMAGE_PIXELS or math.inf):  # (Pillow only warns)
        raise _too_large(where)
    if getattr(file, "is_animated", False) and file.format != "MPO":
        raise InputError(f"{where}an animated image; store one of its pictures as a file")
    # (of more than 8 bits in colour Pillow would keep the upper 8 and say nothing)
    deep = any("16" in str(tile.args) for tile in file.tile)
    if deep or file.mode not in GREY_MODES | COLOUR_MODES:
        raise InputError(
            f"{where}16 bits a channel or floats ({file.mode}); 8 bits are needed: convert the file"
        )


def _decoded(file: ImageFile, rules: Rules) -> ReadImage:
    grey = rules.channels == 1 if rules.channels else file.mode in GREY_MODES
    changed = set()
    if file.info.get("transparency") and file.tile:
        file.info["transparency"] *= GREY_STEPS.get(str(file.tile[0].args), 1)
    image: Image.Image = file
    file.load()
    with suppress(SyntaxError, ValueError, TypeError, struct.error):  # (damaged: it turns nothing)
        if file.getexif().get(ORIENTATION) in TURNED:
            image = ImageOps.exif_transpose(file)
            changed.add("turned")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        if np.asarray(rgba.getchannel("A")).min() < 255:
            background = Image.new("RGBA", image.size, rules.background)
            image = Image.alpha_composite(background, rgba)
            changed.add("composited")
    image = image.convert("L" if grey else "RGB")
    size, wanted = (image.height, image.width), rules.image_size
    if isinstance(wanted, int):
        wanted = (wanted, wanted)
    if wanted and size != wanted:
        image = _resized(image, wanted, rules)
        changed.add("resized")
    pixels = np.asarray(image)
    return ReadImage(pixels[None] if grey else pixels.transpose(2, 0, 1), size, changed)


def _resized(image: Image.Image, wanted: tuple[int, int], rules: Rules) -> Image.Image:
    size, bilinear = (wanted[1], wanted[0]), Image.Resampling.BILINEAR
    if rules.resize == "crop":
        return ImageOps.fit(image, size, bilinear)
    if rules.resize == "pad":
        width, height = image.size  # (Pillow's rule, but of a line it would leave nothing)
        if width * size[1] > height * size[0]:
            fitted = size[0], max(1, round(height / width * size[0]))
        else:
            fitted = max(1, round(width / height * size[1])), size[1]
        return ImageOps.pad(image.resize(fitted, bilinear), size, bilinear, rules.background)
    return image.resize(size, bilinear)
