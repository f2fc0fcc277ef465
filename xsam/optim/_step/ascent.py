"""k steps of normalised gradient ascent, the perturbation that SAM and XSAM share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from xsam.optim._step import foreach
from xsam.optim._step.base import SharpnessAware
from xsam.optim._step.declare import option
from xsam.optim._step.foreach import Tensors
from xsam.optim._step.passes import Passes
from xsam.optim._step.weights import Weights


class AscentMethod(SharpnessAware):
    """A method with a radius; ``rho`` may be changed at any time, and a saved state holds it."""

    rho: float = option(
        default=0.05, kw_only=False, at_least=0, help="radius in the units of the weights. May be changed at any time"
    )

    def _own_state(self) -> dict[str, Any]:
        return {**super()._own_state(), "rho": self.rho}

    def _load_own_state(self, own: Mapping[str, Any]) -> None:
        super()._load_own_state(own)
        self.rho = own["rho"]


class MultiStepMethod(AscentMethod):
    """A method with a number of ascent steps, which share its radius."""

    rho: float = option(
        default=0.05,
        kw_only=False,
        at_least=0,
        help="radius, the total over all ascent steps, in the units of the weights. May be changed at any time",
    )
    ascent_steps: int = option(default=1, at_least=1, help="ascent steps k")


class Ascent(NamedTuple):
    """Where an ascent came from and led to.

    Attributes:
        loss: of the first pass.
        local_norm: norm of the first gradient g_0.
        active: the parameters that had a gradient in at least one pass; all have one now.
        direction: a vector along the sum of all g_i / ||g_i||, a tensor for each active parameter; empty if not kept.
        direction_norm: its norm; without meaning if it was not kept.
    """

    loss: Tensor
    local_norm: Tensor
    active: list[Tensor]
    direction: list[Tensor]
    direction_norm: Tensor


Metric = Callable[[Tensors, Tensors], tuple[Tensors, Tensor]]


def euclidean(parameters: Tensors, gradients: Tensors) -> tuple[Tensors, Tensor]:
    """The metric of plain SAM: along the gradients themselves, whose norm is the length."""
    return gradients, foreach.norm(gradients)


def ascend(
    passes: Passes,
    parameters: Tensors,
    rho: float,
    steps: int,
    *,
    old_direction: Tensors | None = None,
    metric: Metric = euclidean,
    moving: Tensors | None = None,
) -> Ascent:
    """Move the weights by (rho / k) g_i / ||g_i|| for i = 0 ... k-1, and leave the gradient g_k there in ``.grad``.

    Norms are over all parameters. A zero gradient moves nothing. A parameter without a gradient in some pass takes
    part with zero if it has one in another, and not at all if it never has one. The weights are saved in
    ``passes.weights`` before.

    With ``old_direction``, the last step's list of tensors, the direction is kept. It is summed apart from the weights
    in units that do not depend on ``rho``, so it is as exact for a tiny radius as for a large one. It costs no copy:
    the tensors of the first gradient become it. The old list is emptied after the first pass, so that the next gradient
    takes its memory; let go of any earlier, it would go back to the system and be paged in anew at every step.

    Another ``metric`` moves along other vectors: given the parameters that have a gradient, and these gradients, it
    returns a vector for each and the length to divide them by, which ``local_norm`` then is too. It may overwrite the
    gradients, unless the direction is kept. ``moving`` are the parameters that the metric sees and that move, where
    these are not all.
    """
    keep_direction = old_direction is not None
    trail = _Trail(passes.weights, parameters, rho / steps, steps, keep_direction, metric, moving or parameters)
    loss = passes.gradient()
    if old_direction is not None:
        old_direction.clear()
    passes.weights.save(parameters)
    local_norm = trail.advance()
    for _ in range(1, steps):
        passes.gradient()
        trail.advance()
    passes.gradient()
    active, direction = trail.finish()
    direction_norm = foreach.norm(direction) if keep_direction and steps > 1 else local_norm
    return Ascent(loss, local_norm, active, direction, direction_norm)


class _Trail:
    """The parameters seen with a gradient so far and, if it is kept, the sum of the unit gradients.

    With one step the sum is the plain gradient: its length does not matter, and scaling it would cost time.
    """

    def __init__(
        self,
        weights: Weights,
        parameters: Tensors,
        step_length: float,
        steps: int,
        keep_direction: bool,
        metric: Metric,
        moving: Tensors,
    ) -> None:
        self._weights = weights
        self._moving = moving
        self._parameters = parameters
        self._step_length = step_length
        self._scaled = steps > 1
        self._keep = keep_direction
        self._metric = metric
        self._seen = [False] * len(parameters)
        self._all_seen = False
        self._sum: list[Tensor | None] = []

    def advance(self) -> Tensor:
        """Move the weights one step along their gradient; return the gradient's norm."""
        moved, gradients = with_gradients(self._moving)
        vectors, norm = self._metric(moved, gradients)
        self._weights.move(moved, vectors, foreach.quotient(self._step_length, norm))
        if self._keep:
            self._add(norm)
        self._mark_seen()
        return norm

    def finish(self) -> tuple[list[Tensor], list[Tensor]]:
        """The parameters with a gradient in any pass, with zeros in place of gradients that they lack, and the sum."""
        self._mark_seen()
        active = self._parameters
        if not self._all_seen:
            active = [parameter for parameter, seen in zip(self._parameters, self._seen, strict=True) if seen]
        for parameter in active:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        if not self._keep:
            return active, []
        return active, [
            torch.zeros_like(parameter) if part is None else part
            for parameter, part, seen in zip(self._parameters, self._sum, self._seen, strict=True)
            if seen
        ]

    def _mark_seen(self) -> None:
        if not self._all_seen:
            pairs = zip(self._parameters, self._seen, strict=True)
            self._seen = [seen or parameter.grad is not None for parameter, seen in pairs]
            self._all_seen = all(self._seen)

    def _add(self, norm: Tensor) -> None:
        if not any(self._seen):
            self._sum = [None if parameter.grad is None else owned(parameter.grad) for parameter in self._parameters]
            if self._scaled:
                foreach.scale_([part for part in self._sum if part is not None], foreach.quotient(1.0, norm))
            return
        self._sum = [
            torch.zeros_like(parameter) if part is None and parameter.grad is not None else part
            for parameter, part in zip(self._parameters, self._sum, strict=True)
        ]
        pairs = [
            (part, parameter.grad)
            for parameter, part in zip(self._parameters, self._sum, strict=True)
            if part is not None and parameter.grad is not None
        ]
        parts, gradients = [part for part, _ in pairs], [gradient for _, gradient in pairs]
        foreach.add_scaled_(parts, gradients, foreach.quotient(1.0, norm))


class Gradients:
    """The gradients of several passes as vectors over all parameters: zero where a parameter had no part in a pass.

    For methods that reckon with gradients of their own; a parameter that had a part in no pass is left out at the end.
    """

    def __init__(self, passes: Passes, parameters: Tensors) -> None:
        self._passes = passes
        self._parameters = parameters
        self._seen: set[Tensor] = set()

    def __call__(self) -> Tensors:
        """Run a pass at the current weights; its gradient, which no later pass writes over."""
        self._passes.gradient()
        self._seen.update(each for each in self._parameters if each.grad is not None)
        return [torch.zeros_like(each) if each.grad is None else owned(each.grad) for each in self._parameters]

    def hand_over(self, update: Tensors) -> None:
        """Leave ``update`` in ``.grad``."""
        for parameter, part in zip(self._parameters, update, strict=True):
            parameter.grad = part if parameter in self._seen else None


def with_gradients(parameters: Tensors) -> tuple[Tensors, Tensors]:
    """Those of ``parameters`` that have a gradient, the very list where all do, and their gradients."""
    found = [parameter.grad for parameter in parameters]
    gradients = [gradient for gradient in found if gradient is not None]
    if len(gradients) < len(found):
        parameters = [parameter for parameter in parameters if parameter.grad is not None]
    return parameters, gradients


def owned(gradient: Tensor) -> Tensor:
    """``gradient`` itself, or a copy where a later pass would write over it."""
    # A view belongs to somebody who writes the next gradient into the same memory, as DistributedDataParallel does.
    return gradient.clone() if gradient._is_view() else gradient
