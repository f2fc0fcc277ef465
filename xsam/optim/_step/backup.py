"""A copy of weights or buffers to come back to, in memory that is taken once."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor

from xsam.optim._step.foreach import Tensors, copy_, dtypes_of

_KIND = attrgetter("shape", "dtype", "device")


class Backup:
    """A copy of tensors in memory that is kept from step to step.

    Example:
        >>> weights, backup = [torch.ones(2)], Backup()
        >>> backup.save(weights)
        >>> _ = weights[0].add_(0.1)
        >>> backup.restore()
        >>> weights[0]
        tensor([1., 1.])
    """

    def __init__(self) -> None:
        self._tensors: Tensors = []
        self._copies: list[Tensor] = []
        self._kinds: list[Any] = []
        self._copy: Callable[[Tensors, Tensors], None] = copy_

    def save(self, tensors: Tensors) -> None:
        """Copy ``tensors``; memory is taken anew only where shapes, dtypes or devices changed."""
        self._tensors = tensors
        if not tensors:
            return
        kinds: list[Any] = [*map(_KIND, tensors)]
        if kinds != self._kinds:
            self._copies, self._kinds = [torch.empty_like(tensor) for tensor in tensors], kinds
            self._copy = torch._foreach_copy_ if len(dtypes_of(tensors)) == 1 else copy_
        self._copy(self._copies, tensors)

    def restore(self) -> None:
        """Write the copies back, bit for bit, into the tensors of the last ``save``."""
        if self._tensors:
            self._copy(self._tensors, self._copies)

    def draw_back(self, tensors: Tensors, share: float) -> None:
        """Move ``tensors``, those of the last ``save``, this share of the way back to the copies."""
        torch._foreach_lerp_(tensors, self._copies, share)

    def release(self) -> None:
        """Forget the tensors, so that ``restore`` does nothing; keep the memory."""
        self._tensors = []
