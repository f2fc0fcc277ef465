"""A method of its own: SAM that steps with the mean of both gradients."""

from __future__ import annotations

from torch import Tensor

from xsam.optim._step.ascent import AscentMethod, ascend
from xsam.optim._step.declare import option
from xsam.optim._step.foreach import Tensors
from xsam.optim._step.passes import Passes


class ToySAM(AscentMethod):
    """SAM with one ascent step, whose update is scaled.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 1)
        >>> optimizer = ToySAM(torch.optim.SGD(model.parameters(), lr=0.1), rho=0.05, model=model)
        >>> loss = optimizer.step(lambda: model(torch.ones(4, 2)).square().mean())
    """

    rho: float = option(default=0.05, kw_only=False, at_least=0, help="radius")
    strength: float = option(default=1.0, above=0, at_most=2, help="factor of the update")

    def _update(self, passes: Passes, parameters: Tensors) -> Tensor:
        loss = ascend(passes, parameters, self.rho, 1).loss
        passes.weights.restore()
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.mul_(self.strength)
        return loss
