"""ZSharp: sharpness-aware minimization that perturbs along the most unusual parts of the gradient alone."""

from __future__ import annotations

import torch
from torch import Tensor

from xsam.optim._step import foreach
from xsam.optim._step.ascent import AscentMethod, ascend
from xsam.optim._step.declare import option
from xsam.optim._step.foreach import Tensors
from xsam.optim._step.passes import Passes

_EPSILON = 1e-8  # the paper's, beside a standard deviation; of the largest element here


class ZSharp(AscentMethod):
    """Sharpness-aware minimization with Z-score gradient filtering.

    In each tensor of the gradient g at the weights theta, elements are measured in standard deviations from the
    tensor's mean: z = (g - mean) / std. With q the ``percentile`` of all |z| of the network together, and

        f = g where |z| > q, and 0 elsewhere

    the base optimizer steps with the gradient at theta + rho f / ||f||. Where f is zero, g takes its place. Yun,
    "Sharpness-Aware Minimization with Z-Score Gradient Filtering", OPT workshop at NeurIPS 2025, arXiv 2505.02369. A
    step costs two forward and backward passes, and finding q; memory: three copies of the parameters.

    The paper's Q_p is ``percentile`` here, as a share. The paper adds 1e-8 to the standard deviation; here that is
    1e-8 of the gradient's largest element, so that the size of the loss is no matter. It keeps the rounding errors of a
    bias before BatchNorm, whose gradient is zero, from being taken for a signal. ``percentile=0`` leaves out
    the element with the smallest |z| alone.

    Raises:
        ValueError: a value out of its range.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 1)
        >>> optimizer = ZSharp(torch.optim.SGD(model.parameters(), lr=0.1), rho=0.05, model=model)
        >>> loss = optimizer.step(lambda: model(torch.ones(4, 2)).square().mean())
        >>> optimizer.forwards, optimizer.backwards
        (2, 2)
    """

    percentile: float = option(
        default=0.95, at_least=0, below=1, help="share of the gradient's elements that is left out of the perturbation"
    )

    def _update(self, passes: Passes, parameters: Tensors) -> Tensor:
        loss = ascend(passes, parameters, self.rho, 1, metric=self._filtered).loss
        passes.weights.restore()
        return loss

    def _filtered(self, _: Tensors, gradients: Tensors) -> tuple[Tensors, Tensor]:
        """The gradients' most unusual elements, and their norm."""
        if not gradients:
            return gradients, foreach.norm(gradients)
        gradients = foreach.widened(gradients)
        largest = foreach.divisor(torch.stack(torch._foreach_norm(gradients, torch.inf)).max())
        scores = [_scores(gradient / largest) for gradient in gradients]
        pooled = torch.cat([score.flatten() for score in scores])
        # Between two elements torch.quantile takes a value in the middle; what is above it is above the lower one.
        # It refuses more than 2^24 elements, too.
        q = pooled.kthvalue(int(self.percentile * (pooled.numel() - 1)) + 1).values
        # Written so that NaN, of which no comparison is true, is kept and seen.
        kept = [gradient.masked_fill(score <= q, 0.0) for gradient, score in zip(gradients, scores, strict=True)]
        norm = foreach.norm(kept)
        nothing = norm == 0
        filtered = [torch.where(nothing, gradient, part) for gradient, part in zip(gradients, kept, strict=True)]
        return filtered, torch.where(nothing, foreach.norm(gradients), norm)


def _scores(gradient: Tensor) -> Tensor:
    """How many standard deviations each element is away from the tensor's mean, written over the gradient."""
    gradient -= gradient.mean()
    deviation = torch.linalg.vector_norm(gradient) / gradient.numel() ** 0.5
    return gradient.abs_().div_(deviation + _EPSILON)
