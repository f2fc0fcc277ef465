"""BlendSAM: between the gradient here and the gradient that SAM takes."""

from __future__ import annotations

import torch
from torch import Tensor

from xsam.optim.extend import AscentMethod, Passes, Tensors, divisor, norm, option


class BlendSAM(AscentMethod):
    """Step with a mixture of the local gradient and SAM's.

    With g the gradient at theta and g' that at theta + rho g / ||g||, the base optimizer steps with

        (1 - mix) g + mix g'

    so ``mix=0`` is the base and ``mix=1`` is SAM with one ascent step (Zhao, Zhang & Hu, "Penalizing Gradient Norm for
    Efficiently Improving Generalization in Deep Learning", ICML 2022, arXiv 2202.03599). A step costs two passes.
    """

    mix: float = option(default=0.5, at_least=0, at_most=1, help="weight of SAM's gradient")

    def _update(self, passes: Passes, parameters: Tensors) -> Tensor:
        loss = passes.gradient()
        moved = [parameter for parameter in parameters if parameter.grad is not None]
        local = [torch.clone(parameter.grad) for parameter in moved]
        passes.weights.save(parameters)
        passes.weights.move(moved, local, self.rho / divisor(norm(local), self.rho))
        passes.gradient()
        passes.weights.restore()
        for parameter, gradient in zip(moved, local, strict=True):
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            parameter.grad.mul_(self.mix).add_(gradient, alpha=1 - self.mix)
        return loss
