"""What torch does around every optimizer's step, without its price where nobody asks for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import torch
from torch.optim import Optimizer
from torch.optim.optimizer import (
    _global_optimizer_post_hooks,
    _global_optimizer_pre_hooks,
    _use_grad_for_differentiable,
)

P = ParamSpec("P")
R = TypeVar("R")
Self = TypeVar("Self", bound=Optimizer)


_HOOKED = Optimizer.profile_hook_step(lambda self: None).__code__
_UNDER_GRAD_MODE = _use_grad_for_differentiable(lambda self: None).__code__


def _somebody_listens(optimizer: Optimizer) -> bool:
    """Whether a hook is registered for the steps of ``optimizer``, or a profiler runs."""
    return bool(
        optimizer._optimizer_step_pre_hooks
        or optimizer._optimizer_step_post_hooks
        or _global_optimizer_pre_hooks
        or _global_optimizer_post_hooks
        or torch._C._autograd._profiler_enabled()
    )


def step_base(base: Optimizer) -> None:
    """``base.step()``, without what torch wraps it in where that would do nothing.

    These are the hooks that nobody registered, the label for a profiler that does not run, and the switch of the
    gradient mode to what it is; a third of a step on small tensors.
    """
    step: Callable[..., Any] = type(base).step
    if "step" in vars(base) or _code_of(step) is not _HOOKED or _somebody_listens(base):  # a scheduler has its own
        base.step()
        return
    step = vars(step)["__wrapped__"]  # functools.wraps sets it
    if _code_of(step) is _UNDER_GRAD_MODE and torch.is_grad_enabled() is base.defaults.get("differentiable"):
        step = vars(step)["__wrapped__"]
    step(base)


def _code_of(function: Any) -> Any:
    return getattr(function, "__code__", None)


def step_of_optimizer(step: Callable[Concatenate[Self, P], R]) -> Callable[Concatenate[Self, P], R]:
    """A ``step()`` that runs without gradients, within torch's hooks for steps and under its label in profiles.

    Torch wraps the step of every optimizer so, which takes as long as three operations on small tensors; here that is
    left out where no hook is registered and no profiler runs.
    """
    in_torchs_own_way = Optimizer.profile_hook_step(step)

    @wraps(step)
    def without_gradients(self: Self, *arguments: P.args, **keywords: P.kwargs) -> R:
        before = torch.is_grad_enabled()
        torch._C._set_grad_enabled(False)
        try:
            if _somebody_listens(self):
                return in_torchs_own_way(self, *arguments, **keywords)
            return step(self, *arguments, **keywords)
        finally:
            torch._C._set_grad_enabled(before)

    vars(without_gradients)["hooked"] = True  # torch looks for this before it wraps the step itself
    return cast(Callable[Concatenate[Self, P], R], without_gradients)
