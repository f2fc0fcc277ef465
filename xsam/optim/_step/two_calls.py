"""A step in calls between which the training loop runs forward and backward itself: ``ascend`` and ``descend``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from xsam.optim._step.buffers import Buffers
from xsam.optim._step.distributed import Replicas
from xsam.optim._step.foreach import Tensors
from xsam.optim._step.objective import Objective
from xsam.optim._step.passes import Passes, clear_gradients
from xsam.optim._step.precision import LossScale, Overflow
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


class TwoCalls(ABC):
    """The calls of an optimizer for loops that run backward themselves."""

    _open: OpenStep | None

    @abstractmethod
    def _opened(self) -> OpenStep:
        """The step under way, or a new one; raises where no gradient was computed or a step cannot be taken so."""

    @abstractmethod
    def _update_now(self) -> Callable[[Passes, Tensors], Tensor]:
        """What computes the update from the passes' gradients."""

    @abstractmethod
    def _end(self, opened: OpenStep) -> None:
        """Step with the update that is in ``.grad``, if there is one, and count what was done."""

    @torch.no_grad()
    def ascend(self, closure: Callable[[], Any] | None = None) -> bool:
        """Take over the gradients of a loop that runs backward itself, and move the weights to the next pass.

        For loops that cannot hand over a closure (accelerate, Lightning's manual optimization):

            criterion(model(x), y).backward()
            while optimizer.ascend():
                criterion(model(x), y).backward()  # at the moved weights
            optimizer.descend()

        A step is that of ``step`` on the same passes, buffers included. The passes' random numbers are the loop's own,
        as with ``rng="fresh"``. Gradients are taken out of ``.grad``, so the loop need not clear them. With a
        ``grad_scaler`` the loop scales its losses by it, and unscales nothing. Memory: a gradient for each pass.

        Args:
            closure: returns the batch's loss, for a method that has to evaluate it besides: XSAM that searches alpha.

        Returns:
            Whether another pass is to be run; if not, ``.grad`` holds the update that :meth:`descend` steps with.

        Raises:
            RuntimeError: no gradient; local perturbations; a method that moves the weights before its first pass, or
                that needs a closure and has none. The weights are back then.
        """
        opened = self._opened()
        if opened.complete:
            raise RuntimeError("the update is complete: call descend()")
        try:
            opened.take_gradient()
            return not opened.attempt(self._update_now(), closure)
        except Overflow:
            opened.overflow()
            return False
        except BaseException:
            self.abandon()
            raise

    @torch.no_grad()
    def descend(self, closure: Callable[[], Any] | None = None) -> None:
        """Step with the update of :meth:`ascend`; of a last pass that it has not seen yet, too. Clears ``.grad``.

        Raises:
            RuntimeError: the method needs another pass.
        """
        if (self._open is None or not self._open.complete) and self.ascend(closure):
            self.abandon()
            raise RuntimeError(
                "the step needs another pass: go on while ascend() returns True, and call descend() then"
            )
        opened = self._open
        assert opened is not None
        self._open = None
        opened.close()
        self._end(opened)

    @torch.no_grad()
    def abandon(self) -> None:
        """Drop a step under way, if there is one: the weights go back to where :meth:`ascend` first found them."""
        if self._open is not None:
            self._open.close()
            self._open.scale.forget()
            clear_gradients(self._open.parameters)
            self._open = None


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
