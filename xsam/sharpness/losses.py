"""Measures of sharpness that need losses and gradients alone, in one table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import nn

from xsam.optim._step import foreach, options
from xsam.optim.asam import scaled_by_weights
from xsam.sharpness._frozen import BatchNorm
from xsam.sharpness._hessian import LossFunction
from xsam.sharpness._neighbourhood import surface

WORST_STEPS = 20
ETA = 0.01  # ASAM's default


class Measure(NamedTuple):
    """A measured number and its standard error; NaN where it has none."""

    value: float
    error: float = math.nan


def measures(
    model: nn.Module,
    loss_fn: LossFunction,
    batches: Iterable[Any],
    rho: float,
    *,
    adaptive_rho: float | None = None,
    samples: int = 20,
    weights: Sequence[float] | None = None,
    batchnorm: BatchNorm = "eval",
    seed: int = 0,
) -> dict[str, Measure]:
    """How much the mean loss L rises around the weights theta, by several measures.

    - ``train_loss``: L(theta); ``gradient_norm``: ||g||.
    - ``sam_sharpness``: L(theta + rho g/||g||) − L(theta) (Foret et al., ICLR 2021).
    - ``adaptive_sharpness``: the same for ASAM's step T²g/||Tg|| of length ``adaptive_rho``, T = |theta| + 0.01
      (Kwon et al., ICML 2021).
    - ``worst_sharpness``: the greatest rise in the ball of radius rho that 20 steps of projected gradient ascent find,
      from the gradient's direction and from a random one.
    - ``average_sharpness``: the mean rise at the distance rho in random directions, with its standard error.

    Args:
        model, loss_fn, batches, weights, batchnorm, seed: as for :mod:`xsam.sharpness.spectrum`.
        rho: radius, in the units of the weights.
        adaptive_rho: radius in units of the weights' sizes; None: ten times rho.
        samples: random directions.

    Example:
        >>> model = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.ones_(model.weight)
        >>> table = measures(model, lambda model, batch: model(batch).square().mean(), [torch.ones(1, 1)], rho=0.1)
        >>> round(table["sam_sharpness"].value, 4), round(table["worst_sharpness"].value, 4)
        (0.21, 0.21)
    """
    options.number("rho", rho, at_least=0)
    options.whole_number("samples", samples, at_least=2)
    wide = options.number("adaptive_rho", 10 * rho if adaptive_rho is None else adaptive_rho, at_least=0)
    generator = torch.Generator().manual_seed(seed)
    with surface(model, loss_fn, batches, weights, batchnorm) as around:
        loss, gradient = around.gradient()
        norm = float(foreach.norm([gradient]))
        unit = gradient / max(norm, 1e-30)
        worst = around.worst(rho, [gradient, around.random(generator)], WORST_STEPS)
        rises = torch.tensor([around.loss(rho * around.random(generator)) - loss for _ in range(samples)]).double()
        return {
            "train_loss": Measure(loss),
            "gradient_norm": Measure(norm),
            "sam_sharpness": Measure(around.loss(rho * unit) - loss),
            "adaptive_sharpness": Measure(around.ascend_by(partial(scaled_by_weights, eta=ETA), wide) - loss),
            "worst_sharpness": Measure(max(worst.loss, loss) - loss),
            "average_sharpness": Measure(float(rises.mean()), float(rises.std()) / math.sqrt(samples)),
        }
