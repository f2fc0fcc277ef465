"""The loss of one fixed batch, as one closure or several compute it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from xsam.optim._step.distributed import Replicas
from xsam.optim._step.foreach import Tensors
from xsam.optim._step.precision import LossScale, backward_without_autocast

Closure = Callable[[], Any]  # returns the loss, or the loss and something more
Versions = list[tuple[Tensor | None, int]]  # gradients, and how often each was written to


class Objective:
    """The loss of one fixed batch: a closure's, or the weighted mean of several closures' losses.

    Args:
        closure: returns a scalar loss with its graph, without running backward, or a tuple of that and anything more;
            or a sequence of such closures.
        weights: of the closures' losses, in proportion; None weighs them equally.

    Attributes:
        output: what the closure returned beside its loss when :meth:`backward` last called it, tensors without their
            graph; of a sequence of closures a list; None where there is nothing.

    Raises:
        TypeError: something in ``closure`` cannot be called.
        ValueError: no closures, or weights that do not fit them.
    """

    def __init__(self, closure: Any, weights: Sequence[float] | None = None) -> None:
        self.output: Any = None
        self._several = not callable(closure)
        self._closures: Sequence[Closure]
        if not self._several:
            if weights is not None:
                raise ValueError("weights belong to a sequence of closures, and one closure was given")
            self._closures, self._shares = (closure,), [1.0]
            return
        if not isinstance(closure, list | tuple) or not all(callable(each) for each in closure):
            raise TypeError(
                "step() needs a closure that returns the loss (or a list of them), as in "
                f"optimizer.step(lambda: criterion(model(x), y)), not {_kind(closure)}. A loop that runs backward "
                "itself calls ascend() and descend() instead"
            )
        if not closure:
            raise ValueError("step() needs at least one closure, and the list is empty")
        self._closures = closure
        self._shares = shares(len(closure), weights)

    def backward(self, parameters: Tensors, scale: LossScale, replicas: Replicas) -> Tensor:
        """Put the scaled loss's gradient into ``.grad`` of ``parameters``, where none is; return the loss itself.

        The loss returned is without its graph.
        """
        if not (self._several or replicas.wrapped):
            loss, self.output = self._part(self._closures[0], 1.0, parameters, scale, None)
            return loss
        total: Tensor | None = None
        outputs = []
        last = len(self._closures) - 1
        for i, (closure, share) in enumerate(zip(self._closures, self._shares, strict=True)):
            with replicas.pass_context(last=i == last):
                before = _versions(parameters) if i else None
                loss, output = self._part(closure, share, parameters, scale, before)
            total = loss if total is None else total + loss
            outputs.append(output)
        self.output = outputs if self._several and any(each is not None for each in outputs) else outputs[0]
        assert total is not None
        return total

    def _part(
        self, closure: Closure, share: float, parameters: Tensors, scale: LossScale, before: Versions | None
    ) -> tuple[Tensor, Any]:
        """Run one closure and backward; its share of the loss and what it returned beside it, without their graphs."""
        loss, output = _split(closure())
        if _changed(parameters, before):
            raise RuntimeError(
                "the closure changed gradients: it must only return the loss; step() itself runs backward()"
            )
        if not loss.requires_grad:
            raise RuntimeError("the closure's loss has no graph: return it without detach(), item() or no_grad()")
        if share != 1.0:
            loss = loss * share
        backward_without_autocast(scale.scale(loss), parameters[0].device)
        return loss.detach(), None if output is None else _detached(output)

    def value(self) -> float:
        """The loss as a number; waits for the device."""
        return sum(
            share * _split(closure())[0].item() for closure, share in zip(self._closures, self._shares, strict=True)
        )


def _versions(parameters: Tensors) -> Versions:
    gradients = [parameter.grad for parameter in parameters]
    return [(gradient, 0 if gradient is None else gradient._version) for gradient in gradients]


def _changed(parameters: Tensors, before: Versions | None) -> bool:
    """Whether a gradient was set, replaced or added to since ``before``, when there was none if it is None."""
    if before is None:
        return True in [parameter.grad is not None for parameter in parameters]  # a generator takes twice the time
    return any(
        parameter.grad is not gradient or (gradient is not None and gradient._version != version)
        for parameter, (gradient, version) in zip(parameters, before, strict=True)
    )


def _split(returned: Any) -> tuple[Tensor, Any]:
    """The loss and what was returned beside it."""
    loss, output = returned, None
    if isinstance(returned, tuple) and returned:
        loss, output = returned[0], returned[1] if len(returned) == 2 else returned[1:] or None
    if not isinstance(loss, Tensor):
        raise TypeError(f"the closure must return the loss as a tensor, or (loss, anything), not {_kind(returned)}")
    if loss.numel() != 1:
        raise ValueError(
            f"the closure must return a scalar loss, not one of shape {tuple(loss.shape)}: call mean() on it"
        )
    return loss, output


def _detached(output: Any) -> Any:
    """``output`` without the graphs of its tensors, through tuples, lists and dicts."""
    if isinstance(output, Tensor):
        return output.detach()
    if isinstance(output, dict):
        return {name: _detached(each) for name, each in output.items()}
    if type(output) in (tuple, list):
        return type(output)(map(_detached, output))
    return output


def shares(count: int, weights: Sequence[float] | None) -> list[float]:
    """The weights of ``count`` closures, equal ones for None, brought to the sum 1; ``ValueError`` if they misfit."""
    numbers = [1.0] * count if weights is None else [float(weight) for weight in weights]
    if len(numbers) != count:
        raise ValueError(f"{count} closures need {count} weights, not {len(numbers)}")
    total = sum(numbers)
    if not all(number >= 0 for number in numbers) or not 0 < total < math.inf:
        raise ValueError(f"weights must be at least 0, finite and not all 0, not {numbers}")
    return [number / total for number in numbers]


def _kind(value: Any) -> str:
    return "None" if value is None else f"{type(value).__name__}"
