"""GAM: sharpness-aware minimization that flattens the norm of the gradient as well."""

from __future__ import annotations

import torch
from torch import Tensor

from xsam.optim._step import foreach
from xsam.optim._step.ascent import AscentMethod, Gradients
from xsam.optim._step.declare import option
from xsam.optim._step.foreach import Tensors
from xsam.optim._step.passes import Passes


class GAM(AscentMethod):
    """Gradient norm aware minimization: flat to first order, where the gradient's norm is small all around.

    With g_0 the gradient at theta, g_1 that at theta + rho g_0 / ||g_0||, f = g_1 - g_0 (along the gradient of ||g||,
    to first order), g_2 the gradient at theta' = theta + norm_rho f / ||f|| and g_3 that at theta' + rho g_2 / ||g_2||,

        u = beta_1 g_1 + (1 - beta_1) g_3,    m = g_0 + beta_2 g_2

    and the base optimizer steps from theta with u - gamma v, where v is the part of m perpendicular to u. Norms are
    over all parameters. Zhang, Xu, Yu, Zou & Cui, "Gradient Norm Aware Minimization Seeks First-Order Flatness and
    Improves Generalization", CVPR 2023, arXiv 2303.03108, as in the authors' code. A step costs four forward and
    backward passes; memory: five copies of the parameters.

    The options ``gam_beta_1``, ``gam_beta_2`` and ``gam_gamma`` are beta_1, beta_2 and gamma. The defaults are the
    authors' for a ResNet on CIFAR-100.

    Raises:
        ValueError: a value out of its range.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 1)
        >>> optimizer = GAM(torch.optim.SGD(model.parameters(), lr=0.1), rho=0.02, model=model)
        >>> loss = optimizer.step(lambda: model(torch.ones(4, 2)).square().mean())
        >>> optimizer.forwards, optimizer.backwards
        (4, 4)
    """

    _works_on_parts = True

    rho: float = option(
        default=0.02, kw_only=False, at_least=0, help="radius along gradients. May be changed at any time"
    )
    norm_rho: float = option(default=0.2, at_least=0, help="radius along the change of the gradient")
    gam_beta_1: float = option(default=0.6, at_least=0, at_most=1, help="weight of g_1 against g_3")
    gam_beta_2: float = option(default=0.5, at_least=0, help="weight of g_2 beside g_0")
    gam_gamma: float = option(default=0.03, at_least=0, help="how much of the perpendicular part is taken off")

    def _update(self, passes: Passes, parameters: Tensors) -> Tensor:
        gradient = Gradients(passes, parameters)

        def move(vectors: Tensors, radius: float) -> None:
            passes.weights.move(parameters, vectors, foreach.quotient(radius, foreach.norm(vectors)))

        first = gradient()
        passes.weights.save(parameters)
        move(first, self.rho)
        second = gradient()
        passes.weights.restore()
        move([after - before for before, after in zip(first, second, strict=True)], self.norm_rho)
        third = gradient()
        move(third, self.rho)
        update = gradient()
        passes.weights.restore()
        foreach.combine_(update, 1.0 - self.gam_beta_1, second, self.gam_beta_1)
        foreach.combine_(third, self.gam_beta_2, first, 1.0)
        norms = torch.stack((foreach.norm(third), foreach.norm(update)))
        along = foreach.cosine(third, update, norms) * (norms[0] / foreach.divisor(norms[1]))
        foreach.combine_(update, 1.0 + self.gam_gamma * along, third, along.new_full((), -self.gam_gamma))
        gradient.hand_over(update)
        assert passes.first_loss is not None
        return passes.first_loss
