"""LookSAM: sharpness-aware minimization that computes the perturbed gradient at every n-th step alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from xsam.optim._step import foreach
from xsam.optim._step.ascent import AscentMethod, ascend
from xsam.optim._step.declare import option
from xsam.optim._step.foreach import Tensors
from xsam.optim._step.memory import PerParameter
from xsam.optim._step.passes import Passes


class LookSAM(AscentMethod):
    """LookSAM: SAM at every n-th step, and between them the gradient turned the way SAM last turned it.

    At steps 0, n, 2n, ... (n = ``refresh_every``), with g the gradient at the weights and g_s the one at
    theta + rho g / ||g||, the base optimizer steps with g_s, and the part of g_s that is perpendicular to g is kept:

        g_v = g_s - (g . g_s / ||g||^2) g

    At all others it steps with

        g + strength (||g|| / ||g_v||) g_v

    Norms and inner products are over all parameters. Liu, Mai, Chen, Hsieh & You, "Towards Efficient and Scalable
    Sharpness-Aware Minimization", CVPR 2022, arXiv 2203.02714. A step costs one forward and backward pass, a refreshing
    one two; memory: two copies of the parameters.

    The paper's k is ``refresh_every`` here, as k is the number of ascent steps, and its alpha is ``strength``.
    Popular implementations split and scale each tensor by itself; the paper's formula, as here, takes all parameters
    for one vector. ``refresh_every=1`` is SAM. The layer-wise radius of Look-LayerSAM is not part of this class.

    With ``perturbation="local"`` each process keeps a part of its own, and saves that.

    Raises:
        ValueError: a value out of its range.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 1)
        >>> optimizer = LookSAM(torch.optim.SGD(model.parameters(), lr=0.1), rho=0.05, refresh_every=3, model=model)
        >>> for batch in torch.ones(4, 8, 2):
        ...     loss = optimizer.step(lambda: model(batch).square().mean())
        >>> optimizer.forwards, optimizer.backwards
        (6, 6)
    """

    refresh_every: int = option(default=5, at_least=1, help="steps from one SAM step to the next (the paper's k)")
    strength: float = option(
        default=0.7, at_least=0, help="length of the reused part, relative to the gradient (the paper's alpha)"
    )

    def _prepare(self) -> None:
        super()._prepare()
        self._kept = PerParameter()
        self._steps = 0

    def _update(self, passes: Passes, parameters: Tensors) -> Tensor:
        loss = self._turn(passes, parameters) if self._steps % self.refresh_every else self._refresh(passes, parameters)
        self._steps += 1
        return loss

    def _refresh(self, passes: Passes, parameters: Tensors) -> Tensor:
        # Makes room for the new direction. Should a pass fail, nothing is lost: the next step refreshes again.
        self._kept.clear()
        if self.refresh_every == 1:
            ascent = ascend(passes, parameters, self.rho, 1)
            passes.weights.restore()
            return ascent.loss
        ascent = ascend(passes, parameters, self.rho, 1, old_direction=[])
        passes.weights.restore()
        direction = ascent.direction
        gradient = [parameter.grad for parameter in ascent.active if parameter.grad is not None]
        norms = torch.stack((ascent.local_norm, foreach.norm(gradient)))
        # (g . g_s) / ||g||^2, without a square that could leave the range of float32
        along = foreach.cosine(direction, gradient, norms) * (norms[1] / foreach.divisor(norms[0]))
        foreach.combine_(direction, -along, gradient, along.new_ones(()))
        foreach.scale_(direction, foreach.quotient(1.0, foreach.norm(direction)))
        self._kept.replace(ascent.active, direction)
        return ascent.loss

    def _turn(self, passes: Passes, parameters: Tensors) -> Tensor:
        loss = passes.gradient()
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        pairs = [
            (parameter.grad, direction)
            for parameter, direction in zip(parameters, self._kept.of(parameters), strict=True)
            if parameter.grad is not None and direction is not None
        ]
        length = self.strength * foreach.norm(gradients)
        foreach.add_scaled_([gradient for gradient, _ in pairs], [direction for _, direction in pairs], length)
        return loss

    def _own_state(self) -> dict[str, Any]:
        return {**super()._own_state(), "steps": self._steps, "kept": self._kept.state(self)}

    def _load_own_state(self, own: Mapping[str, Any]) -> None:
        super()._load_own_state(own)
        self._steps = own["steps"]
        self._kept.load(own["kept"], self)
