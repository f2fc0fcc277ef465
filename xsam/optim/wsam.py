"""WSAM: sharpness-aware minimization with the sharpness as a weighted regulariser."""

from __future__ import annotations

import torch
from torch import Tensor

from xsam.optim._step import foreach
from xsam.optim._step.ascent import Ascent, AscentMethod, ascend
from xsam.optim._step.declare import option
from xsam.optim._step.distributed import Replicas
from xsam.optim._step.foreach import Tensors
from xsam.optim._step.passes import Passes


class WSAM(AscentMethod):
    """Weighted sharpness-aware minimization: the loss plus a weight times the sharpness.

    With g the gradient at the weights, g_p that at the perturbed point theta + rho g / ||g||, and w = gamma / (1 -
    gamma), the gradient of the regularised loss is g + w (g_p - g). Decoupled, the base optimizer steps with g, and the
    sharpness, in which momentum and preconditioning have no part, follows with the learning rate of its group:

        theta <- base(theta, g) - lr w (g_p - g)

    Otherwise the base steps with g + w (g_p - g): then gamma = 1/2 is SAM. gamma = 0 is the base either way. Yue et
    al., "Sharpness-Aware Minimization Revisited: Weighted Sharpness as a Regularization Term", KDD 2023,
    arXiv 2305.15817. A step costs two forward and backward passes; memory: two copies of the parameters.

    Clipping: decoupled, g and g_p are each clipped to ``max_grad_norm``, as in the authors' code (whose default is to
    clip); otherwise their combination is, as in every method here.

    Raises:
        ValueError: a value out of its range.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 1)
        >>> optimizer = WSAM(torch.optim.SGD(model.parameters(), lr=0.1), rho=0.05, model=model)
        >>> loss = optimizer.step(lambda: model(torch.ones(4, 2)).square().mean())
        >>> optimizer.forwards, optimizer.backwards
        (2, 2)
    """

    gamma: float = option(
        default=0.9, at_least=0, below=1, help="the sharpness has the weight gamma / (1 - gamma); 0 is the base"
    )
    decouple: bool = option(default=True, help="whether the sharpness goes past the base optimizer")

    def _prepare(self) -> None:
        super()._prepare()
        self._local: Tensors = []
        self._sharpness: list[Tensor | None] = []
        self._scale = torch.zeros(())

    def _update(self, passes: Passes, parameters: Tensors) -> Tensor:
        ascent = ascend(passes, parameters, self.rho, 1, old_direction=self._local)
        passes.weights.restore()
        weight = ascent.local_norm.new_full((), self.gamma / (1.0 - self.gamma))
        if self.decouple:
            self._take_apart(ascent, parameters)
            self._scale = -weight
            return ascent.loss
        perturbed = [parameter.grad for parameter in ascent.active if parameter.grad is not None]
        foreach.combine_(perturbed, weight, ascent.direction, 1.0 - weight)
        self._local = ascent.direction
        return ascent.loss

    def _take_apart(self, ascent: Ascent, parameters: Tensors) -> None:
        """Leave g in ``.grad``, and keep g_p - g."""
        self._clip(parameters)
        sharpness = {parameter: parameter.grad for parameter in ascent.active if parameter.grad is not None}
        for parameter, gradient in zip(ascent.active, ascent.direction, strict=True):
            parameter.grad = gradient
        self._clip(parameters)
        one = ascent.local_norm.new_ones(())
        foreach.combine_(list(sharpness.values()), one, ascent.direction, -one)
        self._sharpness = [sharpness.get(parameter) for parameter in parameters]

    def _clip_update(self, parameters: Tensors) -> None:
        if not self.decouple:
            super()._clip_update(parameters)

    def _descend(self, parameters: Tensors, replicas: Replicas) -> None:
        super()._descend(parameters, replicas)
        if not self.decouple:
            return
        given = [parameter.grad for parameter in parameters]
        for parameter, sharpness in zip(parameters, self._sharpness, strict=True):
            parameter.grad = sharpness
        replicas.average_gradients(parameters)
        for group in self.param_groups:
            moved = [each for each in group["params"] if each.requires_grad and each.grad is not None]
            foreach.add_scaled_(moved, [each.grad for each in moved], group["lr"] * self._scale)
        for parameter, gradient in zip(parameters, given, strict=True):
            parameter.grad = gradient
        self._sharpness = []
