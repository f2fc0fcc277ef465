"""StableSAM: SAM whose step is as long as the plain gradient's."""

from __future__ import annotations

from torch import Tensor

from xsam.optim._step import foreach
from xsam.optim._step.ascent import MultiStepMethod, ascend
from xsam.optim._step.foreach import Tensors
from xsam.optim._step.passes import Passes


class StableSAM(MultiStepMethod):
    """Stable SAM (SSAM): the perturbed gradient, renormalised to the length of the one at the weights.

    With g_0 the gradient at the weights and g_k the one where k steps of ascent led, as in SAM, the base optimizer
    steps with

        (||g_0|| / ||g_k||) g_k

    Norms are over all parameters. k = 1 is the method of Tan, Zhang, Liu, Wang & Hao, "Stabilizing Sharpness-Aware
    Minimization Through A Simple Renormalization Strategy", JMLR 26 (2025), arXiv 2401.07250; several ascent steps are
    this project's. A step costs k + 1 forward and backward passes; memory: one copy of the parameters.

    XSAM with ``alpha=1`` and ``scale="local"`` takes the same step.

    Raises:
        ValueError: a value out of its range.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 1)
        >>> optimizer = StableSAM(torch.optim.SGD(model.parameters(), lr=0.1), rho=0.05, model=model)
        >>> loss = optimizer.step(lambda: model(torch.ones(4, 2)).square().mean())
        >>> optimizer.forwards, optimizer.backwards
        (2, 2)
    """

    _works_on_parts = True

    def _update(self, passes: Passes, parameters: Tensors) -> Tensor:
        ascent = ascend(passes, parameters, self.rho, self.ascent_steps)
        passes.weights.restore()
        gradients = [parameter.grad for parameter in ascent.active if parameter.grad is not None]
        norm = foreach.norm(gradients)
        foreach.scale_(gradients, ascent.local_norm / foreach.divisor(norm))
        return ascent.loss
