"""A step in calls between which the training loop runs forward and backward itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from xsam.optim._step.buffers import Buffers
from xsam.optim._step.distributed import Replicas
from xsam.optim._step.foreach import Tensors
from xsam.optim._step.objective import Objective
from xsam.optim._step.passes import Passes, clear_gradients
from xsam.optim._step.precision import LossScale
from xsam.optim._step.weights import Weights


class AnotherPass(Exception):
    """The method wants the gradient at the weights as they are now."""


class OpenStep:
    """A step under way: the gradients that the loop has computed for it so far.

    A method computes its update from the beginning at each call, with one more gradient than before, and is stopped
    where it asks for the next. As whatever ends a pass leaves no trace in a method, nor do the earlier attempts.

    Attributes:
        complete: whether there is nothing left but to descend.
        overflowed: whether a scaled gradient was not finite, so that the step ends without one.
        passes, probes: gradients taken, and losses evaluated beside them.
    """

    def __init__(
        self,
        parameters: Tensors,
        weights: Weights,
        buffers: Buffers,
        model: nn.Module | None,
        scale: LossScale,
        replicas: Replicas,
    ) -> None:
        self.complete = False
        self.overflowed = False
        self.passes = 0
        self.probes = 0
        self.scale = scale
        self.parameters = parameters
        self.replicas = replicas
        self._weights = weights
        self._buffers = buffers
        self._gradients: list[list[Tensor | None]] = []
        # The loop has run the first forward: buffers are as one plain forward leaves them.
        buffers.start(model)
        if model is None:
            buffers.add_owners(parameters)
        buffers.keep()

    def take_gradient(self) -> None:
        """Take over what a backward has left in ``.grad``; raises ``Overflow`` where a scaled one is not finite."""
        if self.passes:
            self._buffers.restore()
            self._weights.restore()
            self._weights.release()
        self.scale.unscale_(self.parameters)
        self._gradients.append([parameter.grad for parameter in self.parameters])
        self.passes += 1

    def attempt(self, update: Callable[[Passes, Tensors], Tensor], closure: Callable[[], Any] | None) -> bool:
        """Compute the update from the gradients so far; False where another one is wanted, at the weights as moved."""
        passes = _Recorded(self, closure)
        try:
            update(passes, self.parameters)
        except AnotherPass:
            clear_gradients(self.parameters)
            return False
        self.probes = passes.forwards - passes.backwards
        self.complete = True
        return True

    def overflow(self) -> None:
        """End the step: a gradient is not finite."""
        self.passes += 1
        self.complete = self.overflowed = True

    def close(self) -> None:
        """Leave weights and buffers as they were after the loop's first forward."""
        self._weights.restore()
        self._weights.release()
        self._buffers.restore()

    def recorded(self, index: int) -> list[Tensor | None]:
        """Copies of the gradients of one pass, which a method may write to."""
        if index == 0 and self._weights.saved:
            raise RuntimeError("this method moves the weights before its first pass: it needs step(closure)")
        if index == self.passes:
            raise AnotherPass
        return [None if gradient is None else gradient.clone() for gradient in self._gradients[index]]


class _Recorded(Passes):
    """Passes whose gradients the loop has computed; the loss itself is evaluated by a closure, for probes alone."""

    def __init__(self, step: OpenStep, closure: Callable[[], Any] | None) -> None:
        objective = Objective(closure if closure is not None else _no_closure)
        super().__init__(
            objective,
            step.parameters,
            step._weights,
            step._buffers,
            None,
            "fresh",
            scale=step.scale,
            replicas=step.replicas,
        )
        self._step = step

    def gradient(self) -> Tensor:
        """Leave the next recorded gradient in ``.grad``; the loss is not known, and 0 is returned for it."""
        for parameter, gradient in zip(self._parameters, self._step.recorded(self.backwards), strict=True):
            parameter.grad = gradient
        self.forwards += 1
        self.backwards += 1
        self.first_loss = torch.zeros(()) if self.first_loss is None else self.first_loss
        return self.first_loss

    def _begin(self) -> None:
        torch.clear_autocast_cache()

    def _end(self) -> None:
        self.forwards += 1
        self._buffers.restore()


def _no_closure() -> Tensor:
    raise RuntimeError(
        "a search for alpha evaluates the loss: give descend() or ascend() a closure that returns it, or fix alpha"
    )
