"""FisherSAM: sharpness-aware minimization in the ellipsoid of the Fisher information."""

from __future__ import annotations

import torch
from torch import Tensor

from xsam.optim._step import foreach
from xsam.optim._step.ascent import MultiStepMethod, ascend
from xsam.optim._step.declare import option
from xsam.optim._step.foreach import Tensors
from xsam.optim._step.passes import Passes


class FisherSAM(MultiStepMethod):
    """Fisher SAM: the neighbourhood is an ellipsoid, narrow where the Fisher information is large.

    With the diagonal F_i = 1 + eta g_i^2, element by element, and i = 0 ... k-1,

        theta_{i+1} = theta_i + (rho / k) F_i^-1 g_i / sqrt(g_i^T F_i^-1 g_i),    g_i = grad L(theta_i)

    and the base optimizer steps from theta_0 with g_k; each ascent step e has sqrt(e^T F_i e) = rho / k, so its
    Euclidean length is at most that. k = 1 is the method of Kim, Li, Hu & Hospedales, "Fisher SAM: Information Geometry
    and Sharpness Aware Minimisation", ICML 2022, arXiv 2206.04920 (their radius gamma is rho). The squared gradient of
    the batch stands for the Fisher information, as there ("gradient magnitude approximation"). A step costs k + 1
    forward and backward passes; memory: one copy of the parameters.

    The authors published no code. Some implementations normalise each tensor by itself, or estimate the information in
    a pass of its own; the sum in the root is over all parameters here, as in the paper. eta = 0 is SAM.

    Raises:
        ValueError: a value out of its range.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 1)
        >>> optimizer = FisherSAM(torch.optim.SGD(model.parameters(), lr=0.1), rho=0.1, model=model)
        >>> loss = optimizer.step(lambda: model(torch.ones(4, 2)).square().mean())
        >>> optimizer.forwards, optimizer.backwards
        (2, 2)
    """

    _works_on_parts = True

    rho: float = option(
        default=0.1,
        kw_only=False,
        at_least=0,
        help="radius, the total over all ascent steps, in the metric above. May be changed at any time",
    )
    eta: float = option(
        default=1.0,
        at_least=0,
        help="weight of the Fisher information against the Euclidean metric. It has the units of an inverse squared "
        "gradient: at gradients far below 1 the method is close to SAM",
    )

    def _update(self, passes: Passes, parameters: Tensors) -> Tensor:
        loss = ascend(passes, parameters, self.rho, self.ascent_steps, metric=self._shrunk).loss
        passes.weights.restore()
        return loss

    def _shrunk(self, parameters: Tensors, gradients: Tensors) -> tuple[Tensors, Tensor]:
        """F^-1 g and sqrt(g^T F^-1 g)."""
        if not gradients:
            return gradients, foreach.norm(gradients)
        gradients = foreach.widened(gradients)
        # sqrt(F), without the square of a large gradient; g^T F^-1 g is the square of the norm of g / sqrt(F).
        roots = [torch.hypot(gradient * self.eta**0.5, gradient.new_ones(())) for gradient in gradients]
        halves = list(torch._foreach_div(gradients, roots))
        length = foreach.norm(halves)
        torch._foreach_div_(halves, roots)
        return halves, length
