"""RandomSAM: a control, whose perturbation has SAM's length and no direction of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from xsam.optim._step import foreach
from xsam.optim._step.ascent import AscentMethod
from xsam.optim._step.foreach import Tensors
from xsam.optim._step.noise import Noise
from xsam.optim._step.passes import Passes


class RandomSAM(AscentMethod):
    """The gradient at a random point as far from the weights as SAM goes: what of SAM is noise, and not ascent.

    With u drawn from the standard normal distribution anew at each step, the base optimizer steps with the gradient at

        theta + rho u / ||u||

    whose direction is uniform on the sphere; norms are over all parameters. Nobody proposes it: it is here to be
    compared with. A step costs one forward and backward pass; memory: two copies of the parameters. The only loss there
    is, which ``step`` returns, is that at the perturbed weights, and BatchNorm's statistics are of that pass too.

    The noise comes from generators keyed by torch's initial seed and the step, not from torch's random state: dropout
    masks are those of other methods, and all processes that train one model draw the same.

    Raises:
        ValueError: a value out of its range.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 1)
        >>> optimizer = RandomSAM(torch.optim.SGD(model.parameters(), lr=0.1), rho=0.05, model=model)
        >>> loss = optimizer.step(lambda: model(torch.ones(4, 2)).square().mean())
        >>> optimizer.forwards, optimizer.backwards
        (1, 1)
    """

    def _prepare(self) -> None:
        super()._prepare()
        self._noise = Noise()
        self._steps = 0

    def _update(self, passes: Passes, parameters: Tensors) -> Tensor:
        seed = self._noise.agreed(passes)
        noise = self._noise.like(parameters, seed, self._steps)
        passes.weights.save(parameters)
        passes.weights.move(parameters, noise, foreach.quotient(self.rho, foreach.norm(noise)))
        loss = passes.gradient()
        passes.weights.restore()
        self._noise.seed = seed
        self._steps += 1
        return loss

    def _own_state(self) -> dict[str, Any]:
        return {**super()._own_state(), "seed": self._noise.seed, "steps": self._steps}

    def _load_own_state(self, own: Mapping[str, Any]) -> None:
        super()._load_own_state(own)
        self._noise.seed = own["seed"]
        self._steps = own["steps"]
