"""Random changes of training images, a batch at a time, on the device where the images are.

Every image of a batch has its own draw. Draws are made by a CPU generator and moved to the device afterwards: one
stream gives the same crops, mirrors and boxes everywhere, and no step waits for the device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

CROP_RATIO = (3 / 4, 4 / 3)  # torchvision's default
TRIES = 10  # of torchvision's RandomResizedCrop and RandomErasing, which fall back when none fits
ERASING_SCALE = (0.02, 0.33)  # torchvision's defaults, as are the ratios
ERASING_RATIO = (0.3, 3.3)


@dataclass(frozen=True)
class Normalise:
    """From stored pixels to what networks see: float32, in each channel (pixel / peak − mean) / std.

    Attributes:
        scale, shift: C×1×1 on the images' device.
        memory_format: of the result.
    """

    scale: torch.Tensor
    shift: torch.Tensor
    memory_format: torch.memory_format

    @classmethod
    def of(
        cls, mean: Sequence[float], std: Sequence[float], peak: int, device: torch.device, channels_last: bool = False
    ) -> Normalise:
        """With a mean and a standard deviation for each channel, of pixels divided by ``peak``.

        >>> normalise = Normalise.of([0.5], [0.25], peak=255, device=torch.device("cpu"))
        >>> normalise(torch.tensor([[[[255]]]], dtype=torch.uint8)).item()
        2.0
        """
        spread, centre = (torch.tensor(values, dtype=torch.float64).view(-1, 1, 1) for values in (std, mean))
        return cls(
            (1 / (peak * spread)).to(device, torch.float32),
            (-centre / spread).to(device, torch.float32),
            torch.channels_last if channels_last else torch.contiguous_format,
        )

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """A new tensor; ``images``, N×C×H×W of any type, stay as they are."""
        copied = images.to(torch.float32, copy=True)
        return copied.mul_(self.scale).add_(self.shift).contiguous(memory_format=self.memory_format)


@dataclass(frozen=True)
class Augmentation:
    """What training does to a batch of stored images, normalising included.

    The order is that of the published settings: crop and mirror, normalise, then cutout and random erasing, which
    therefore fill with the mean colour.

    Attributes:
        normalise: applied whatever else is.
        kind: ``"none"``, ``"crop_flip"`` (:func:`crop_flip`) or ``"resized_crop_flip"`` (:func:`resized_crop_flip`).
        size: side of the images that the network sees.
        crop_scale_min: the smallest share of an image's area that a resized crop takes.
        cutout: side of the square that :func:`cutout` blanks with ``cutout_probability``; 0: none.
        erasing_probability: of :func:`erase`; 0: never.

    >>> normalise = Normalise.of([0.5], [0.5], peak=255, device=torch.device("cpu"))
    >>> augment = Augmentation(normalise, "crop_flip", size=8, cutout=4)
    >>> augment(torch.zeros(5, 1, 8, 8, dtype=torch.uint8), torch.Generator().manual_seed(0)).shape
    torch.Size([5, 1, 8, 8])
    """

    normalise: Normalise
    kind: str
    size: int
    crop_scale_min: float = 0.8
    cutout: int = 0
    cutout_probability: float = 0.5
    erasing_probability: float = 0.0

    @property
    def random(self) -> bool:
        """Whether it draws anything; otherwise it is ``normalise`` alone."""
        return self.kind != "none" or bool(self.cutout) or bool(self.erasing_probability)

    def __call__(self, images: torch.Tensor, stream: torch.Generator) -> torch.Tensor:
        """Normalised float32 N×C×S×S of stored ``images``, which stay as they are; draws from ``stream``."""
        if self.kind == "crop_flip":
            images = crop_flip(images, stream)
        elif self.kind == "resized_crop_flip":
            images = resized_crop_flip(images, self.size, self.crop_scale_min, stream)
        images = self.normalise(images)
        if self.cutout:
            cutout(images, self.cutout, self.cutout_probability, stream)
        if self.erasing_probability:
            erase(images, self.erasing_probability, stream)
        return images


def crop_flip(images: torch.Tensor, stream: torch.Generator, padding: int | None = None) -> torch.Tensor:
    """Shift each image by up to ``padding`` pixels in each direction, and mirror it with probability 1/2.

    Random crop with black padding and horizontal flip; every shift is equally likely.

    Args:
        images: N×C×S×S of any type, on any device.
        stream: a CPU generator; the same one gives the same shifts on every device.
        padding: by default an eighth of the side: 4 pixels at 28×28 and 32×32, 1 pixel at 8×8.

    >>> images = torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8)
    >>> crop_flip(images, torch.Generator().manual_seed(0)).shape
    torch.Size([1, 1, 8, 8])
    """
    n, channels, size, _ = images.shape
    pad = -(-size // 8) if padding is None else padding
    width = size + 2 * pad
    top, left = torch.randint(0, 2 * pad + 1, (2, n, 1), generator=stream)
    mirrored = torch.randint(0, 2, (n, 1), generator=stream).bool()
    pixels = torch.arange(size)
    rows = top + pixels
    columns = left + torch.where(mirrored, pixels.flip(0), pixels)
    # One gather over the flat padded image is several times faster than indexing rows and columns.
    index = (rows[:, :, None] * width + columns[:, None, :]).view(n, 1, -1).to(images.device)
    padded = F.pad(images, (pad, pad, pad, pad)).view(n, channels, -1)
    return padded.gather(2, index.expand(n, channels, -1)).view(n, channels, size, size)


def resized_crop_flip(
    images: torch.Tensor, size: int, scale_min: float, stream: torch.Generator, ratio: tuple[float, float] = CROP_RATIO
) -> torch.Tensor:
    """Crop each image at random, resize the crop to ``size`` × ``size``, and mirror it with probability 1/2.

    Crops are drawn as torchvision's ``RandomResizedCrop`` draws them: area uniform in ``scale_min`` … 1 of the image's,
    logarithm of the ratio of sides uniform, place uniform; after 10 tries that do not fit, the whole image.

    Args:
        images: N×C×R×R of any type, on any device.
        stream: a CPU generator; the same one gives the same crops on every device.
        ratio: smallest and largest ratio of sides; 1 must lie between them.

    Returns float32 N×C×``size``×``size`` in the unit of ``images``; see :func:`resize`.

    >>> resized_crop_flip(torch.ones(2, 3, 64, 64), 32, 0.8, torch.Generator().manual_seed(0)).shape
    torch.Size([2, 3, 32, 32])
    """
    boxes = draw_crops(len(images), images.shape[-1], (scale_min, 1.0), ratio, stream)
    mirrored = torch.randint(0, 2, (len(images),), generator=stream).bool()
    return resize(images, boxes, mirrored, size)


def cutout(images: torch.Tensor, side: int, probability: float, stream: torch.Generator) -> torch.Tensor:
    """Blank a square of ``images`` in place, each image with ``probability`` (DeVries & Taylor 2017, arXiv 1708.04552).

    Args:
        images: normalised N×C×S×S, so that 0 is the mean colour.
        side: of the square, in pixels; see :func:`draw_cutouts`. What lies outside of the image is clipped.

    >>> (cutout(torch.ones(1, 1, 4, 4), 9, 1.0, torch.Generator().manual_seed(0)) == 0).all().item()
    True
    """
    return blank(images, draw_cutouts(len(images), images.shape[-1], side, probability, stream))


def erase(images: torch.Tensor, probability: float, stream: torch.Generator) -> torch.Tensor:
    """Blank a box of normalised ``images`` (N×C×S×S) in place, each image with ``probability``.

    Random erasing (Zhong et al. 2020, arXiv 1708.04896) with torchvision's defaults; see :func:`draw_erasures`.

    >>> bool((erase(torch.ones(1, 1, 32, 32), 1.0, torch.Generator().manual_seed(0)) == 0).any())
    True
    """
    return blank(images, draw_erasures(len(images), images.shape[-1], probability, stream))


@dataclass(frozen=True)
class Boxes:
    """A rectangle of whole pixels for each of N images, int64 N each; one without height or width is empty.

    A box may reach past the image's border.
    """

    top: torch.Tensor
    left: torch.Tensor
    height: torch.Tensor
    width: torch.Tensor

    def to(self, device: torch.device) -> Boxes:
        """The same boxes on ``device``."""
        return Boxes(*(side.to(device) for side in (self.top, self.left, self.height, self.width)))


def draw_crops(
    n: int, size: int, scale: tuple[float, float], ratio: tuple[float, float], stream: torch.Generator
) -> Boxes:
    """Boxes inside a ``size`` × ``size`` image, as torchvision's ``RandomResizedCrop.get_params`` draws them.

    >>> boxes = draw_crops(3, 64, (0.25, 0.25), (1.0, 1.0), torch.Generator().manual_seed(0))
    >>> boxes.height.tolist(), boxes.width.tolist()
    ([32, 32, 32], [32, 32, 32])
    """
    width, height, fits = _draw_sides(n, size, scale, ratio, size, stream)
    return _place(torch.where(fits, height, size), torch.where(fits, width, size), size, stream)


def draw_erasures(n: int, size: int, probability: float, stream: torch.Generator) -> Boxes:
    """Boxes inside a ``size`` × ``size`` image, as torchvision's ``RandomErasing`` draws them by default.

    Area uniform in 2% … 33% of the image's, logarithm of the ratio of sides uniform between those of 0.3 and 3.3, place
    uniform. Empty with probability 1 − ``probability``, and where none of 10 tries leaves a border.

    >>> draw_erasures(2, 32, 0.0, torch.Generator().manual_seed(0)).height.tolist()
    [0, 0]
    """
    height, width, fits = _draw_sides(n, size, ERASING_SCALE, ERASING_RATIO, size - 1, stream)
    erased = fits & (_uniform((n,), (0, 1), stream) < probability)
    return _place(height * erased, width * erased, size, stream)


def draw_cutouts(n: int, size: int, side: int, probability: float, stream: torch.Generator) -> Boxes:
    """Squares of ``side`` pixels whose centre is any pixel of a ``size`` × ``size`` image, all equally likely.

    A square has ``side`` // 2 pixels above and left of its centre. Empty with probability 1 − ``probability``.

    >>> draw_cutouts(2, 32, 16, 1.0, torch.Generator().manual_seed(0)).height.tolist()
    [16, 16]
    """
    top, left = torch.randint(-(side // 2), size - side // 2, (2, n), generator=stream)
    length = side * (_uniform((n,), (0, 1), stream) < probability)
    return Boxes(top, left, length, length)


def blank(images: torch.Tensor, boxes: Boxes) -> torch.Tensor:
    """Set ``images`` (N×C×S×S, finite) to 0 inside ``boxes``, in place.

    >>> boxes = Boxes(*torch.tensor([[-1], [0], [2], [2]]))
    >>> blank(torch.ones(1, 1, 2, 2), boxes).flatten().tolist()
    [0.0, 0.0, 1.0, 1.0]
    """
    boxes = boxes.to(images.device)
    pixels = torch.arange(images.shape[-1], device=images.device)
    above_or_below = (pixels < boxes.top[:, None]) | (pixels >= (boxes.top + boxes.height)[:, None])
    beside = (pixels < boxes.left[:, None]) | (pixels >= (boxes.left + boxes.width)[:, None])
    # On a CPU, multiplying by zeros and ones is many times faster than filling under a mask.
    kept = torch.maximum(above_or_below.to(images.dtype)[:, :, None], beside.to(images.dtype)[:, None, :])
    return images.mul_(kept[:, None])


def resize(images: torch.Tensor, boxes: Boxes, mirrored: torch.Tensor, size: int) -> torch.Tensor:
    """Resize the part of each image inside its box to ``size`` × ``size``, and mirror those that are ``mirrored``.

    Bilinear with antialiasing as in Pillow, where a triangle as wide as the reduction weighs the pixels of the box; but
    without rounding to whole pixel values. Columns and rows are weighed by one matrix product each.

    Args:
        images: N×C×R×R of any type.
        boxes: inside the images, at least one pixel each.
        mirrored: bool, N.

    Returns float32 N×C×``size``×``size``.

    >>> box = Boxes(*torch.tensor([[0], [0], [2], [2]]))
    >>> resize(torch.tensor([[[[1, 3], [5, 7]]]]), box, torch.tensor([False]), 1).item()
    4.0
    """
    boxes, mirrored = boxes.to(images.device), mirrored.to(images.device)
    source = images.shape[-1]
    columns = _resizing_weights(boxes.left, boxes.width, source, size)
    columns = torch.where(mirrored[:, None, None], columns.flip(1), columns)
    rows = _resizing_weights(boxes.top, boxes.height, source, size)
    n, channels = images.shape[:2]
    narrowed = images.to(torch.float32).reshape(n, channels * source, source) @ columns.mT
    beside = narrowed.view(n, channels, source, size).transpose(1, 2).reshape(n, source, channels * size)
    return (rows @ beside).view(n, size, channels, size).transpose(1, 2).contiguous()


def _resizing_weights(start: torch.Tensor, length: torch.Tensor, source: int, size: int) -> torch.Tensor:
    """N×``size``×``source``: how much each pixel of a line counts in each pixel of its resized part."""
    pixels = torch.arange(source, device=start.device) + 0.5
    start, length = start[:, None, None].to(torch.float32), length[:, None, None].to(torch.float32)
    reduction = length / size
    centres = start + (torch.arange(size, device=start.device) + 0.5)[:, None] * reduction
    weights = (1 - (pixels - centres).abs() / reduction.clamp(min=1)).clamp_(min=0)
    weights *= (pixels > start) & (pixels < start + length)
    return weights / weights.sum(dim=2, keepdim=True)


def _draw_sides(
    n: int, size: int, scale: tuple[float, float], ratio: tuple[float, float], largest: int, stream: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two sides in pixels, the first ``ratio`` times the second, of the first try that fits; and whether one did."""
    area = size * size * _uniform((TRIES, n), scale, stream)
    aspect = _uniform((TRIES, n), (math.log(ratio[0]), math.log(ratio[1])), stream).exp()
    first, second = (area * aspect).sqrt().round().long(), (area / aspect).sqrt().round().long()
    fits = (torch.minimum(first, second) >= 1) & (torch.maximum(first, second) <= largest)
    chosen = fits.byte().argmax(dim=0, keepdim=True)  # the first of equals
    return first.gather(0, chosen)[0], second.gather(0, chosen)[0], fits.any(dim=0)


def _place(height: torch.Tensor, width: torch.Tensor, size: int, stream: torch.Generator) -> Boxes:
    """Each box at one of the places where it is inside a ``size`` × ``size`` image, all equally likely."""
    top, left = ((_uniform(side.shape, (0, 1), stream) * (size - side + 1)).floor().long() for side in (height, width))
    return Boxes(top, left, height, width)


def _uniform(shape: Sequence[int], limits: tuple[float, float], stream: torch.Generator) -> torch.Tensor:
    low, high = limits
    return low + (high - low) * torch.rand(*shape, generator=stream, dtype=torch.float64)
