"""LESAM: sharpness-aware minimization with a budget of loss in place of a radius."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from xsam.optim._step import foreach
from xsam.optim._step.ascent import AscentMethod, ascend
from xsam.optim._step.declare import option
from xsam.optim._step.foreach import Tensors
from xsam.optim._step.passes import Passes


class LESAM(AscentMethod):
    """Loss-equated SAM: go as far as raises the loss by sigma to first order.

    With g the gradient at the weights, the base optimizer steps with the gradient at

        theta + r g / ||g||,    r = min(sigma / ||g||, rho)

    so a small gradient is followed farther than a large one, but never beyond ``rho``. Norms are over all parameters.
    Wang, Liu, Xie & Gao, "Fix the Loss, Not the Radius: Rethinking the Adversarial Perturbation of Sharpness-Aware
    Minimization", ICML 2026, arXiv 2605.10183. A step costs two forward and backward passes; memory: one copy of the
    parameters.

    The defaults are those of the authors' script for CIFAR. There sigma rises over the first 10 epochs and falls to 0
    over the last 40 of 200, which is left to the training loop here: ``sigma`` may be changed at any time.

    Raises:
        ValueError: a value out of its range.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 1)
        >>> optimizer = LESAM(torch.optim.SGD(model.parameters(), lr=0.1), sigma=0.35, model=model)
        >>> loss = optimizer.step(lambda: model(torch.ones(4, 2)).square().mean())
        >>> optimizer.forwards, optimizer.backwards
        (2, 2)
    """

    _works_on_parts = True

    rho: float = option(
        default=0.3,
        kw_only=False,
        at_least=0,
        help="the largest radius (the paper's rho_max), in the units of the weights. May be changed at any time",
    )
    sigma: float = option(default=0.35, above=0, help="budget of loss. May be changed at any time")

    def _update(self, passes: Passes, parameters: Tensors) -> Tensor:
        loss = ascend(passes, parameters, self.rho, 1, metric=self._equated).loss
        passes.weights.restore()
        return loss

    def _equated(self, _: Tensors, gradients: Tensors) -> tuple[Tensors, Tensor]:
        """The gradient and what to divide it by, so that ``rho`` times their quotient is as long as r."""
        norm = foreach.norm(gradients)
        return gradients, norm * (norm * (self.rho / self.sigma)).clamp(min=1.0)

    def _own_state(self) -> dict[str, Any]:
        return {**super()._own_state(), "sigma": self.sigma}

    def _load_own_state(self, own: Mapping[str, Any]) -> None:
        super()._load_own_state(own)
        self.sigma = own["sigma"]
