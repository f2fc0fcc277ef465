"""FriendlySAM: sharpness-aware minimization along the noise of the batch's gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from xsam.optim._step import foreach
from xsam.optim._step.ascent import AscentMethod, ascend
from xsam.optim._step.declare import option
from xsam.optim._step.foreach import Tensors
from xsam.optim._step.memory import PerParameter
from xsam.optim._step.passes import Passes


class FriendlySAM(AscentMethod):
    """Friendly SAM: the perturbation leaves out the full gradient, as far as a moving average knows it.

    With g_t the gradient at the weights, and m an exponential moving average of such gradients,

        d_t = g_t - sigma m_{t-1},    m_t = decay m_{t-1} + (1 - decay) g_t

    the base optimizer steps with the gradient at theta + rho d_t / ||d_t||. The first step has d = m = g, as in SAM.
    Norms are over all parameters. Li, Zhou, He, Cheng & Huang, "Friendly Sharpness-Aware Minimization", CVPR 2024,
    arXiv 2403.12350. A step costs two forward and backward passes; memory: two copies of the parameters, and a third
    during the second pass.

    This is the authors' code. Their text subtracts sigma m_t, which already holds g_t: for sigma = 1, their value, that
    is decay (g_t - m_{t-1}), the same direction. The paper's lambda is ``decay``; 0.9 is the code's default, and the
    authors' runs use 0.6 to 0.95.

    With ``perturbation="local"`` each process keeps an average of its own, and saves that.

    Raises:
        ValueError: a value out of its range.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 1)
        >>> optimizer = FriendlySAM(torch.optim.SGD(model.parameters(), lr=0.1), rho=0.05, model=model)
        >>> loss = optimizer.step(lambda: model(torch.ones(4, 2)).square().mean())
        >>> optimizer.forwards, optimizer.backwards
        (2, 2)
    """

    sigma: float = option(default=1.0, at_least=0, help="how much of the average is left out; 0 is SAM")
    decay: float = option(default=0.9, at_least=0, below=1, help="decay of that average (the paper's lambda)")

    def _prepare(self) -> None:
        super()._prepare()
        self._average = PerParameter()

    def _update(self, passes: Passes, parameters: Tensors) -> Tensor:
        moved: Tensors = []
        noise: Tensors = []

        def along_noise(with_gradient: Tensors, gradients: Tensors) -> tuple[Tensors, Tensor]:
            moved.extend(with_gradient)
            noise.extend(self._noise(with_gradient, gradients))
            return noise, foreach.norm(noise)

        loss = ascend(passes, parameters, self.rho, 1, metric=along_noise).loss
        passes.weights.restore()
        self._average.replace(moved, self._new_average(moved, noise))
        return loss

    def _noise(self, parameters: Tensors, gradients: Tensors) -> Tensors:
        """d, in memory of its own."""
        return [
            gradient.clone() if average is None else gradient.sub(average, alpha=self.sigma)
            for gradient, average in zip(gradients, self._average.of(parameters), strict=True)
        ]

    def _new_average(self, parameters: Tensors, noise: Tensors) -> Tensors:
        """The average with g = d + sigma m taken in, in the memory of d: m itself must outlive a pass that fails."""
        fresh = 1.0 - self.decay
        for each, average in zip(noise, self._average.of(parameters), strict=True):
            if average is not None:
                each.mul_(fresh).add_(average, alpha=self.decay + fresh * self.sigma)
        return noise

    def _own_state(self) -> dict[str, Any]:
        return {**super()._own_state(), "average": self._average.state(self)}

    def _load_own_state(self, own: Mapping[str, Any]) -> None:
        super()._load_own_state(own)
        self._average.load(own["average"], self)
