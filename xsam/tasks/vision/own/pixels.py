"""Encoded images of anybody's: what their headers say, their pixels, and their pixels at another size."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import IO

import numpy as np
from PIL import Image

from xsam.tasks.vision.canonical import Array

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".bmp": "BMP",
    ".ppm": "PPM",
    ".pgm": "PPM",
    ".gif": "GIF",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
LARGEST = 64_000_000  # pixels of an image that is decoded
_GREY = ("1", "L", "LA")
_COLOUR = ("P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "LAB", "HSV")


@dataclass
class Shapes:
    """The formats of images that were looked at so far.

    Attributes:
        smallest, largest: width and height; None before the first image.
        channels: 3 where any image has colours, else 1; or what an array has.
    """

    smallest: tuple[int, int] | None = None
    largest: tuple[int, int] | None = None
    channels: int = 1

    def take(self, width: int, height: int, channels: int) -> None:
        """Count one more image."""
        size = (width, height)
        self.smallest = min(self.smallest or size, size)
        self.largest = max(self.largest or size, size)
        self.channels = max(self.channels, channels)

    @property
    def side(self) -> int | None:
        """The side of all images, where they are squares of one size."""
        if self.smallest is None or self.smallest != self.largest or self.smallest[0] != self.smallest[1]:
            return None
        return self.smallest[0]

    def __str__(self) -> str:
        if self.smallest is None or self.largest is None:
            return "no images"
        first, last = (f"{width}×{height}" for width, height in (self.smallest, self.largest))
        return f"images of {first} pixels" if first == last else f"images from {first} to {last} pixels"


def header(stream: IO[bytes], place: str) -> tuple[int, int, int]:
    """Width, height and channels (1 or 3) of an encoded image; decodes nothing.

    Raises ``ValueError`` (one line that begins with ``place``) for what is no image of a known format.
    """
    with _opened(stream, place) as image:
        width, height = image.size
        if width * height > LARGEST:
            raise ValueError(f"{place}: {width}×{height} pixels, more than {LARGEST:,} in all")
        if image.mode not in (*_GREY, *_COLOUR):
            raise ValueError(f"{place}: pixels of the kind {image.mode!r}; convert it to 8 bits a channel first")
        return width, height, 1 if image.mode in _GREY else 3


def pixels(stream: IO[bytes], place: str, channels: int) -> Array:
    """An encoded image as uint8, H×W×C, grey (``channels`` 1) or RGB; its first frame, without transparency.

    Raises ``ValueError`` (one line that begins with ``place``) for one that cannot be decoded.
    """
    header(stream, place)
    with _opened(stream, place) as image:
        try:
            decoded = np.asarray(image.convert("L" if channels == 1 else "RGB"))
        except Exception as error:  # decoders raise whatever broken bytes make them
            raise ValueError(f"{place}: not a whole image ({_one_line(error)})") from None
    return decoded.reshape(*decoded.shape[:2], channels)


def fitted(image: Array, size: int) -> Array:
    """``image`` (uint8, H×W×C) as a square of ``size``: its shorter side is resized to it, and the middle is taken.

    As torchvision's ``Resize(size)`` on PIL images and ``CenterCrop(size)``: bilinear, over all pixels where it
    shrinks. A square of this size is left as it is.

    >>> fitted(np.zeros((20, 30, 3), np.uint8), 10).shape
    (10, 10, 3)
    """
    height, width, channels = image.shape
    if height == width == size:
        return image
    short = min(height, width)
    shown = (int(size * width / short), int(size * height / short))
    if channels == 3:
        resized = np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize(shown, Image.Resampling.BILINEAR))
    else:
        planes = (Image.fromarray(np.ascontiguousarray(image[:, :, k])) for k in range(channels))
        resized = np.stack([np.asarray(plane.resize(shown, Image.Resampling.BILINEAR)) for plane in planes], axis=2)
    top, left = round((shown[1] - size) / 2), round((shown[0] - size) / 2)
    return resized[top : top + size, left : left + size]


def _opened(stream: IO[bytes], place: str) -> Image.Image:
    stream.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # LARGEST is below it
            return Image.open(stream, formats=tuple(sorted(set(FORMATS.values()))))
    except Exception as error:  # decoders raise whatever broken bytes make them
        raise ValueError(f"{place}: not an image of a known format ({_one_line(error)})") from None


def _one_line(error: Exception) -> str:
    return " ".join((str(error) or type(error).__name__).split())[:200]
