"""EigenSAM: sharpness-aware minimization that turns the perturbation towards the Hessian's top eigenvector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from xsam.optim._step import foreach
from xsam.optim._step.ascent import AscentMethod, Gradients
from xsam.optim._step.declare import option
from xsam.optim._step.foreach import Tensors
from xsam.optim._step.memory import PerParameter
from xsam.optim._step.noise import Noise
from xsam.optim._step.passes import Passes


class EigenSAM(AscentMethod):
    """Eigen-SAM: the perturbation of SAM, with more of the direction in which the loss curves most.

    With g the gradient at the weights theta, u = g / ||g||, and v a unit vector close to the top eigenvector of the
    Hessian, the base optimizer steps with the gradient at

        theta + rho d / ||d||,    d = u + alignment sign(u . v) (v - (u . v) u)

    At steps 0, n, 2n, ... (n = ``eigen_every``) v is found anew by ``power_steps`` power iterations on the Hessian of
    that step's batch, which start from the last v, the first ones from a random vector. Norms and inner products are
    over all parameters. Luo, Truong, Pham, Harandi, Phung & Le, "Explicit Eigenvalue Regularization Improves
    Sharpness-Aware Minimization", NeurIPS 2024, arXiv 2501.12666, as in the authors' code. A step costs two forward and
    backward passes, and one that looks for v two more for each power iteration; memory: three copies of the parameters.

    The paper's alpha is ``alignment`` here, as XSAM's alpha is something else. A power iteration finds the eigenvalue
    of the largest size, positive or not. Hessian-vector products are central differences of two gradients, so that
    neither compiled models nor fused attention nor DistributedDataParallel have to be differentiated twice; the
    authors differentiate twice, with the model in evaluation mode. ``alignment=0`` is SAM.

    Random start vectors come from torch's initial seed, not from its random state. With ``perturbation="local"`` each
    process keeps a vector of its own, and saves that.

    Raises:
        ValueError: a value out of its range.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 1)
        >>> optimizer = EigenSAM(torch.optim.SGD(model.parameters(), lr=0.1), rho=0.1, eigen_every=4, model=model)
        >>> for batch in torch.ones(4, 8, 2):
        ...     loss = optimizer.step(lambda: model(batch).square().mean())
        >>> optimizer.forwards, optimizer.backwards
        (18, 18)
    """

    rho: float = option(
        default=0.1, kw_only=False, at_least=0, help="radius in the units of the weights. May be changed at any time"
    )
    alignment: float = option(
        default=0.2, at_least=0, help="how far the perturbation is turned to the eigenvector (the paper's alpha)"
    )
    eigen_every: int = option(default=100, at_least=1, help="steps from one search for the eigenvector to the next")
    power_steps: int = option(default=5, at_least=1, help="power iterations of a search, of two passes each")

    def _prepare(self) -> None:
        super()._prepare()
        self._kept = PerParameter()
        self._noise = Noise()
        self._steps = 0

    def _update(self, passes: Passes, parameters: Tensors) -> Tensor:
        gradients = Gradients(passes, parameters)
        local = gradients()
        norm = foreach.norm(local)
        passes.weights.save(parameters)
        vector, seed = self._last(parameters), self._noise.seed
        if self._steps % self.eigen_every == 0:
            if all(part is None for part in self._kept.of(parameters)):
                seed = self._noise.agreed(passes)
                vector = self._noise.like(parameters, seed, self._steps)
                foreach.scale_(vector, foreach.quotient(1.0, foreach.norm(vector)))
            vector = self._iterated(passes, parameters, gradients, vector, norm)
        along = foreach.cosine(vector, local, torch.stack((foreach.norm(vector), norm)))
        # (1 - a |u.v|) u + a sign(u.v) v, in the memory of g
        on_gradient = (1.0 - self.alignment * along.abs()) * foreach.quotient(1.0, norm)
        foreach.combine_(local, on_gradient, vector, self.alignment * along.sign())
        passes.weights.move(parameters, local, foreach.quotient(self.rho, foreach.norm(local)))
        update = gradients()
        passes.weights.restore()
        gradients.hand_over(update)
        self._kept.replace(parameters, vector)
        self._noise.seed = seed
        self._steps += 1
        assert passes.first_loss is not None
        return passes.first_loss

    def _last(self, parameters: Tensors) -> Tensors:
        """The vector that was found last, zero for parameters that had no part in it."""
        kept = zip(parameters, self._kept.of(parameters), strict=True)
        return [torch.zeros_like(parameter) if part is None else part for parameter, part in kept]

    def _iterated(
        self, passes: Passes, parameters: Tensors, gradients: Gradients, vector: Tensors, size: Tensor
    ) -> Tensors:
        """``vector`` after the power iterations, of length 1; where the loss does not curve it stays."""
        precision = max(torch.finfo(parameter.dtype).eps for parameter in parameters)
        radius = precision ** (1 / 3) * (1.0 + foreach.norm(parameters))
        inverse = foreach.quotient(1.0, size)  # in units of the gradient, tiny differences stay in range
        for _ in range(self.power_steps):
            sides = []
            for step in (radius, -radius):
                passes.weights.move(parameters, vector, step)
                sides.append(gradients())
                passes.weights.restore()
            product, other = sides
            foreach.combine_(product, inverse, other, -inverse)
            length = foreach.norm(product)
            foreach.scale_(product, foreach.quotient(1.0, length))
            vector = [torch.where(length > 0, new, old) for new, old in zip(product, vector, strict=True)]
        return vector

    def _own_state(self) -> dict[str, Any]:
        return {
            **super()._own_state(),
            "steps": self._steps,
            "seed": self._noise.seed,
            "kept": self._kept.state(self),
        }

    def _load_own_state(self, own: Mapping[str, Any]) -> None:
        super()._load_own_state(own)
        self._steps = own["steps"]
        self._noise.seed = own["seed"]
        self._kept.load(own["kept"], self)
