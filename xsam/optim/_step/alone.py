"""No method at all: the base optimizer behind the same contract, which the others are compared with."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from xsam.optim._step.base import SharpnessAware
from xsam.optim._step.declare import option
from xsam.optim._step.foreach import Tensors
from xsam.optim._step.passes import Passes


class BaseAlone(SharpnessAware):
    """The base optimizer alone, behind the closure contract: one pass, no perturbation.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 1)
        >>> optimizer = BaseAlone(torch.optim.SGD(model.parameters(), lr=0.1))
        >>> loss = optimizer.step(lambda: model(torch.ones(4, 2)).square().mean())
        >>> optimizer.forwards, optimizer.backwards
        (1, 1)
    """

    _works_on_parts = True

    # With a single pass both mean the same, and this one saves nothing.
    rng: Literal["shared", "fresh"] = option(default="fresh", grid=False, help="dropout masks; the same either way")

    def _update(self, passes: Passes, parameters: Tensors) -> Tensor:
        return passes.gradient()
