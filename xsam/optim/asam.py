"""ASAM: sharpness-aware minimization whose radius scales with the weights."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from xsam.optim._step import foreach
from xsam.optim._step.ascent import MultiStepMethod, ascend
from xsam.optim._step.declare import option
from xsam.optim._step.foreach import Tensors
from xsam.optim._step.passes import Passes


class ASAM(MultiStepMethod):
    """Adaptive sharpness-aware minimization: SAM in units of each weight's own size.

    With T_i = |theta_i| + eta, element by element at the current point, and i = 0 ... k-1,

        theta_{i+1} = theta_i + (rho / k) T_i^2 g_i / ||T_i g_i||,    g_i = grad L(theta_i)

    and the base optimizer steps from theta_0 with g_k. Norms are over all parameters. k = 1 is the element-wise method
    of Kwon et al., "ASAM: Adaptive Sharpness-Aware Minimization for Scale-Invariant Learning of Deep Neural Networks",
    ICML 2021, arXiv 2102.11600. A step costs k + 1 forward and backward passes; memory: one copy of the parameters.

    The authors' code gives T = 1 to parameters without "weight" in their name; here, as in the formula, all are scaled.
    The option ``adaptive`` of popular SAM implementations is eta = 0, which never moves a weight that is zero.

    Raises:
        ValueError: a value out of its range.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 1)
        >>> optimizer = ASAM(torch.optim.SGD(model.parameters(), lr=0.1), rho=0.5, model=model)
        >>> loss = optimizer.step(lambda: model(torch.ones(4, 2)).square().mean())
        >>> optimizer.forwards, optimizer.backwards
        (2, 2)
    """

    _works_on_parts = True

    rho: float = option(
        default=0.5,
        kw_only=False,
        at_least=0,
        help="radius, the total over all ascent steps, in units of the weights' sizes: about ten times that of SAM. "
        "May be changed at any time",
    )
    eta: float = option(default=0.01, at_least=0, help="added to the weights' sizes")

    def _update(self, passes: Passes, parameters: Tensors) -> Tensor:
        metric = partial(scaled_by_weights, eta=self.eta)
        loss = ascend(passes, parameters, self.rho, self.ascent_steps, metric=metric).loss
        passes.weights.restore()
        return loss


def scaled_by_weights(parameters: Tensors, gradients: Tensors, eta: float) -> tuple[Tensors, Tensor]:
    """The metric of ASAM: T^2 g and ||T g||, in the memory of the gradients where these are no 16-bit numbers."""
    if not parameters:
        return gradients, foreach.norm(gradients)
    gradients = foreach.widened(gradients)
    sizes = torch._foreach_abs(foreach.widened(parameters))
    torch._foreach_add_(sizes, eta)
    torch._foreach_mul_(gradients, sizes)
    length = foreach.norm(gradients)
    torch._foreach_mul_(gradients, sizes)
    return gradients, length
