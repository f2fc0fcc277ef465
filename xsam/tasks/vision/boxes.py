"""Boxes in images, a batch at a time: drawing them, blanking them, and resizing what is in them.

Every image of a batch has its own draw. Draws are made by a CPU generator and moved to the images' device afterwards:
one stream gives the same boxes everywhere, and no step waits for the device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

TRIES = 10  # of torchvision's RandomResizedCrop and RandomErasing, which fall back when none fits
ERASING_SCALE = (0.02, 0.33)  # torchvision's defaults, as are the ratios
ERASING_RATIO = (0.3, 3.3)


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
