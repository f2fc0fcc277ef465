"""Mixed precision: a ``GradScaler`` over several passes, and backward outside autocast."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from xsam.optim._step.distributed import Replicas
from xsam.optim._step.foreach import Tensors


class Overflow(ArithmeticError):
    """A scaled gradient was not finite: the step is to be skipped."""


class LossScale:
    """A ``GradScaler`` through the passes of one step; without one nothing is scaled or checked.

    A scaler unscales and checks an optimizer's gradients once between two updates, and reduces its scale once if any
    optimizer met a gradient that was not finite. So every pass is shown to it as an optimizer of its own.
    """

    def __init__(self, scaler: GradScaler | None, replicas: Replicas) -> None:
        self._scaler = scaler if scaler is not None and scaler.is_enabled() else None
        self._replicas = replicas
        # The scaler knows them by id(), so they must stay alive until its update.
        self._checks: list[_Check] = []

    @classmethod
    def of_step(cls, scaler: GradScaler | None, replicas: Replicas) -> LossScale:
        """One for a new step; without a scaler, when it keeps nothing, the same object each time."""
        return _AS_THEY_ARE if scaler is None else cls(scaler, replicas)

    def scale(self, loss: Tensor) -> Tensor:
        """The loss to run backward from."""
        return loss if self._scaler is None else self._scaler.scale(loss)

    def unscale_(self, parameters: Tensors) -> None:
        """Bring a pass's gradients back to the size that they have without scaling; waits for the device.

        Raises:
            Overflow: one is not finite, here or on another replica.
            ValueError: a gradient in float16, which a GradScaler refuses: it is for parameters in float32.
        """
        if self._scaler is None:
            return
        with_gradient = [parameter for parameter in parameters if parameter.grad is not None]
        if self._replicas.count > 1:
            with_gradient.append(self._replicas_flag(with_gradient, parameters[0].device))
        if not with_gradient:
            return
        check = _Check(with_gradient)
        self._checks.append(check)
        self._scaler.step(cast(Optimizer, check))
        if not check.passed:
            raise Overflow("a scaled gradient is not finite")

    def update(self) -> None:
        """Update the scale, once for all passes."""
        if self._scaler is not None and self._checks:
            self._scaler.update()

    def forget(self) -> None:
        """Leave the scaler as it was before the step."""
        if self._scaler is not None and self._checks:
            self._scaler.update(self._scaler.get_scale())  # clears what it keeps for each optimizer, and no more

    def _replicas_flag(self, parameters: Tensors, device: torch.device) -> Tensor:
        """A tensor whose gradient is NaN if a replica's is not finite, otherwise 0: all skip a step or none does."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flag = torch.zeros((), device=device)
        for gradient in torch._foreach_norm(gradients, torch.inf) if gradients else ():
            flag += gradient.float() * 0.0
        holder = torch.zeros((), device=device)
        holder.grad = self._replicas.total(flag)
        return holder


_AS_THEY_ARE = LossScale(None, Replicas(None, "global"))


class _Check:
    """What a GradScaler takes for an optimizer: its step runs only where all gradients are finite."""

    def __init__(self, parameters: Tensors) -> None:
        self.param_groups = [{"params": parameters}]
        self.passed = False

    def step(self) -> None:
        self.passed = True


def backward_without_autocast(loss: Tensor, device: torch.device) -> None:
    """Run backward outside autocast, which belongs to the forward, and would change some of backward's operations."""
    if torch._C._is_any_autocast_enabled() and torch.is_autocast_enabled(device.type):
        with torch.autocast(device.type, enabled=False):
            loss.backward()
    else:
        loss.backward()
