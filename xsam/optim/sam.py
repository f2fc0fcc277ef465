"""SAM: sharpness-aware minimization, with one or several ascent steps."""

from __future__ import annotations

from typing import Unpack

from torch import Tensor
from torch.optim import Optimizer

from xsam.optim._step.ascent import AscentMethod, ascend
from xsam.optim._step.base import Common
from xsam.optim._step.foreach import Tensors
from xsam.optim._step.passes import Passes


class SAM(AscentMethod):
    """Sharpness-aware minimization: step with the gradient taken where k steps of ascent led.

    With theta_0 the weights and i = 0 ... k-1,

        theta_{i+1} = theta_i + (rho / k) g_i / ||g_i||,    g_i = grad L(theta_i)

    and the base optimizer steps from theta_0 with g_k. Norms are over all parameters. k = 1 is the method of Foret et
    al., "Sharpness-Aware Minimization for Efficiently Improving Generalization", ICLR 2021, arXiv 2010.01412, without
    its weight decay in the ascent; a step costs k + 1 forward and backward passes.

    Args:
        base: a built torch optimizer.
        rho: radius, the total over all ascent steps, in the units of the weights. May be changed at any time.
        ascent_steps: k.
        common: ``model``, ``rng`` and the other keywords of :class:`~xsam.optim.SharpnessAware`.

    Raises:
        ValueError: a value out of its range.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 1)
        >>> optimizer = SAM(torch.optim.SGD(model.parameters(), lr=0.1), rho=0.05, model=model)
        >>> loss = optimizer.step(lambda: model(torch.ones(4, 2)).square().mean())
        >>> optimizer.forwards, optimizer.backwards
        (2, 2)
    """

    def __init__(self, base: Optimizer, rho: float = 0.05, *, ascent_steps: int = 1, **common: Unpack[Common]) -> None:
        super().__init__(base, rho, ascent_steps=ascent_steps, **common)

    def _update(self, passes: Passes, parameters: Tensors) -> Tensor:
        loss = ascend(passes, parameters, self.rho, self.ascent_steps).loss
        passes.weights.restore()
        return loss
