"""MomentumSAM: sharpness-aware minimization at the price of the base optimizer."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from xsam.optim._step import foreach
from xsam.optim._step.ascent import AscentMethod
from xsam.optim._step.declare import option
from xsam.optim._step.foreach import Tensors
from xsam.optim._step.passes import Passes

BUFFERS = ("momentum_buffer", "exp_avg")


class MomentumSAM(AscentMethod):
    """Momentum-SAM (MSAM): the base optimizer's own momentum is the direction of ascent.

    With v the base's momentum buffer (SGD's ``momentum_buffer``, Adam's ``exp_avg``, without its preconditioning),
    which sums up past gradients, the base optimizer steps from theta with

        grad L(theta - rho v / ||v||)

    The sign is the paper's: as in Nesterov's momentum, the perturbation goes where the base is heading. The norm is
    over all parameters that have momentum. Becker, Altrock & Risse, "Momentum-SAM: Sharpness Aware Minimization
    without Computational Overhead", arXiv 2401.12033. A step costs one forward and backward pass; memory: one copy of
    the parameters. The first step, before which there is no momentum, is the base's own.

    The authors' optimizers leave the weights perturbed between steps, and have to be called before an evaluation and at
    the end of training; here they are unperturbed after each step. Their SGD takes its weight decay at the perturbed
    weights, this one at theta. The only loss there is, which ``step`` returns, is that at the perturbed weights, and
    BatchNorm's statistics are of that pass too.

    Raises:
        ValueError: a value out of its range, or a base without a momentum buffer.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 1)
        >>> optimizer = MomentumSAM(torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), rho=0.3, model=model)
        >>> for batch in torch.ones(3, 8, 2):
        ...     loss = optimizer.step(lambda: model(batch).square().mean())
        >>> optimizer.forwards, optimizer.backwards
        (3, 3)
    """

    rho: float = option(
        default=0.3,
        kw_only=False,
        at_least=0,
        help="radius in the units of the weights; useful values are about ten times those of SAM. May be changed at "
        "any time",
    )

    def _prepare(self) -> None:
        super()._prepare()
        for group in self.param_groups:
            _check_momentum(self.base_optimizer, group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group to the base optimizer; raises ``ValueError`` if the group has no momentum."""
        _check_momentum(self.base_optimizer, {**self.defaults, **param_group})
        super().add_param_group(param_group)

    def _update(self, passes: Passes, parameters: Tensors) -> Tensor:
        passes.weights.save(parameters)
        pairs = [
            (parameter, momentum)
            for parameter in parameters
            if (momentum := _momentum(self.state.get(parameter, {}))) is not None
        ]
        momenta = [momentum for _, momentum in pairs]
        length = foreach.quotient(-self.rho, foreach.norm(momenta))
        passes.weights.move([parameter for parameter, _ in pairs], momenta, length)
        loss = passes.gradient()
        passes.weights.restore()
        return loss


def _momentum(state: dict[str, Any]) -> Tensor | None:
    return next((state[name] for name in BUFFERS if state.get(name) is not None), None)


def _check_momentum(base: Optimizer, group: dict[str, Any]) -> None:
    if group.get("momentum", 0) == 0 and "betas" not in group:
        raise ValueError(
            f"MomentumSAM perturbs along the base's momentum, and this {type(base).__name__} has none: "
            "give it momentum=0.9, say"
        )
