"""LookbehindSAM: several ascent steps, a descent from each of them, and an interpolation."""

from __future__ import annotations

import torch
from torch import Tensor

from xsam.optim._step import foreach
from xsam.optim._step.ascent import MultiStepMethod, ascend, owned
from xsam.optim._step.declare import option
from xsam.optim._step.distributed import Replicas
from xsam.optim._step.foreach import Tensors
from xsam.optim._step.passes import Passes
from xsam.optim._step.weights import Weights


class LookbehindSAM(MultiStepMethod):
    """Lookbehind-SAM: k steps of ascent, k of descent, and a part of the way there.

    With phi_0 = psi_0 = theta and i = 1 ... k,

        psi_i = psi_{i-1} + (rho / k) h_{i-1} / ||h_{i-1}||,    h_i = grad L(psi_i)
        phi_i = base(phi_{i-1}, h_i)
        theta <- theta + interpolation (phi_k - theta)

    Mordido, Malviya, Baratin & Chandar, "Lookbehind-SAM: k steps back, 1 step forward", ICML 2024, arXiv 2307.16704.
    k = 1 with interpolation 1 is SAM. The paper's radius, that of one ascent step, is rho / k; its alpha is
    ``interpolation``, and its adaptive alpha is not part of this class.

    The base optimizer steps k times in a step, on the same learning rate: its momentum, step counters and weight decay
    act k times, and only the weights are interpolated. Schedulers see one step. As psi does not depend on phi, the
    descents can wait for the last pass, and the gradient that a descent uses is also that of the next ascent: a step
    costs k + 1 forward and backward passes (the authors' code, which computes it twice, 2k), and should a pass fail,
    the base has not moved. Memory: k copies of the parameters. Each of the k gradients is clipped to ``max_grad_norm``.

    Raises:
        ValueError: a value out of its range.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 1)
        >>> base = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> optimizer = LookbehindSAM(base, rho=0.1, ascent_steps=2, interpolation=0.5, model=model)
        >>> loss = optimizer.step(lambda: model(torch.ones(4, 2)).square().mean())
        >>> optimizer.forwards, optimizer.backwards
        (3, 3)
    """

    rho: float = option(
        default=0.1,
        kw_only=False,
        at_least=0,
        help="radius, the total over all ascent steps, in the units of the weights. May be changed at any time",
    )
    ascent_steps: int = option(default=2, at_least=1, help="ascent steps k")
    interpolation: float = option(default=0.5, above=0, at_most=1, help="how far to go (the paper's alpha)")

    def _prepare(self) -> None:
        super()._prepare()
        self._weights = Weights(copies=True)
        self._later: list[list[Tensor | None]] = []

    def _update(self, passes: Passes, parameters: Tensors) -> Tensor:
        seen: list[dict[Tensor, Tensor]] = []

        def keeping(moved: Tensors, gradients: Tensors) -> tuple[Tensors, Tensor]:
            # h_0 makes no descent.
            seen.append(dict(zip(moved, map(owned, gradients), strict=True)) if passes.backwards > 1 else {})
            return gradients, foreach.norm(gradients)

        ascent = ascend(passes, parameters, self.rho, self.ascent_steps, metric=keeping)
        passes.weights.restore()
        active = set(ascent.active)
        first, *self._later = [
            *([_filled(each, gradients, active) for each in parameters] for gradients in seen[1:]),
            [parameter.grad for parameter in parameters],
        ]
        for parameter, gradient in zip(parameters, first, strict=True):
            parameter.grad = gradient
        return ascent.loss

    def _descend(self, parameters: Tensors, replicas: Replicas) -> None:
        super()._descend(parameters, replicas)
        while self._later:
            for parameter, gradient in zip(parameters, self._later.pop(0), strict=True):
                parameter.grad = gradient
            super()._descend(parameters, replicas)
        self._weights.draw_back(parameters, 1.0 - self.interpolation)


def _filled(parameter: Tensor, gradients: dict[Tensor, Tensor], active: set[Tensor]) -> Tensor | None:
    """The gradient of one pass: zero where only others had one."""
    gradient = gradients.get(parameter)
    return torch.zeros_like(parameter) if gradient is None and parameter in active else gradient
