"""GSAM: sharpness-aware minimization that also closes the gap between the perturbed loss and the loss."""

from __future__ import annotations

import torch
from torch import Tensor

from xsam.optim._step import foreach
from xsam.optim._step.ascent import AscentMethod, ascend
from xsam.optim._step.declare import option
from xsam.optim._step.foreach import Tensors
from xsam.optim._step.passes import Passes


class GSAM(AscentMethod):
    """Surrogate gap guided sharpness-aware minimization.

    With g the gradient at the weights, g_p that at the perturbed point theta + rho g / ||g||, and g_v the part of g
    perpendicular to g_p, the base optimizer steps from theta with

        g_p - gap_weight g_v,    g_v = g - (g . g_p / ||g_p||^2) g_p

    which leaves the descent of the perturbed loss as it is to first order, and lets the gap to the loss shrink. Inner
    products are over all parameters. Zhuang et al., "Surrogate Gap Minimization Improves Sharpness-Aware Training",
    ICLR 2022, arXiv 2203.08065. A step costs two forward and backward passes; memory: two copies of the parameters.

    The paper's alpha is ``gap_weight`` here, as XSAM's alpha is something else. The paper lets rho follow the learning
    rate from rho_max down to rho_min, and its code needs a scheduler for that; here rho is constant, or whatever the
    training loop sets ``optimizer.rho`` to.

    Raises:
        ValueError: a value out of its range.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 1)
        >>> optimizer = GSAM(torch.optim.SGD(model.parameters(), lr=0.1), rho=0.05, model=model)
        >>> loss = optimizer.step(lambda: model(torch.ones(4, 2)).square().mean())
        >>> optimizer.forwards, optimizer.backwards
        (2, 2)
    """

    _works_on_parts = True

    gap_weight: float = option(
        default=0.4, at_least=0, help="weight of the surrogate gap (the paper's alpha); 0 is SAM"
    )

    def _prepare(self) -> None:
        super()._prepare()
        self._local: Tensors = []

    def _update(self, passes: Passes, parameters: Tensors) -> Tensor:
        ascent = ascend(passes, parameters, self.rho, 1, old_direction=self._local)
        passes.weights.restore()
        local = ascent.direction
        perturbed = [parameter.grad for parameter in ascent.active if parameter.grad is not None]
        norms = torch.stack((ascent.local_norm, foreach.norm(perturbed)))
        # (g . g_p) / ||g_p||^2, without a square that could leave the range of float32
        along = foreach.cosine(local, perturbed, norms) * (norms[0] / foreach.divisor(norms[1]))
        # g_p - w (g - along g_p)
        foreach.combine_(perturbed, 1.0 + self.gap_weight * along, local, along.new_full((), -self.gap_weight))
        self._local = local
        return ascent.loss
