"""An exponential moving average of a model's weights (EMA), which is evaluated in their place."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from xsam.optim._step.backup import Backup
from xsam.optim._step.foreach import copy_


class WeightAverage:
    """The average of all floating-point parameters and buffers: a <- decay a + (1 - decay) w after every step.

    It begins with the initial weights, without a correction for that. BatchNorm's running statistics are averaged like
    the weights, so that they fit them; its counters, and all other buffers of whole numbers, are the model's own.

    Example:
        >>> model = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.ones_(model.weight)
        >>> average = WeightAverage(model, decay=0.75)
        >>> _ = nn.init.zeros_(model.weight)
        >>> average.update()
        >>> with average.applied():
        ...     model.weight.item()
        0.75
        >>> model.weight.item()
        0.0
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._model = model
        self._decay = decay
        self._averages = [tensor.detach().clone() for tensor in self._tensors()]
        self._backup = Backup()

    @torch.no_grad()
    def update(self) -> None:
        """Take in the model's weights as they are now."""
        torch._foreach_lerp_(self._averages, self._tensors(), 1.0 - self._decay)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Have the average in the model's place inside the context; afterwards the weights are as before."""
        tensors = self._tensors()
        self._backup.save(tensors)
        try:
            copy_(tensors, self._averages)
            yield
        finally:
            self._backup.restore()
            self._backup.release()

    def state(self) -> list[Tensor]:
        """The averages, to be saved."""
        return self._averages

    def load(self, state: list[Tensor]) -> None:
        """Go on from a saved :meth:`state`."""
        copy_(self._averages, state)

    def _tensors(self) -> list[Tensor]:
        everything = itertools.chain(self._model.parameters(), self._model.buffers())
        return [tensor.detach() for tensor in everything if tensor.is_floating_point()]
