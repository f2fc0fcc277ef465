"""SAM: sharpness-aware minimization, with one or several ascent steps."""

from __future__ import annotations

from torch import Tensor

from xsam.optim._step.ascent import MultiStepMethod, ascend
from xsam.optim._step.foreach import Tensors
from xsam.optim._step.passes import Passes


class SAM(MultiStepMethod):
    """Sharpness-aware minimization: step with the gradient taken where k steps of ascent led.

    With theta_0 the weights and i = 0 ... k-1,

        theta_{i+1} = theta_i + (rho / k) g_i / ||g_i||,    g_i = grad L(theta_i)

    and the base optimizer steps from theta_0 with g_k. Norms are over all parameters. k = 1 is the method of Foret et
    al., "Sharpness-Aware Minimization for Efficiently Improving Generalization", ICLR 2021, arXiv 2010.01412, without
    its weight decay in the ascent; a step costs k + 1 forward and backward passes.

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

    _works_on_parts = True

    def _update(self, passes: Passes, parameters: Tensors) -> Tensor:
        loss = ascend(passes, parameters, self.rho, self.ascent_steps).loss
        passes.weights.restore()
        return loss
