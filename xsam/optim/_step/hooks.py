"""What torch does around every optimizer's step, without its price where nobody asks for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar, cast

import torch
from torch.optim import Optimizer
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

P = ParamSpec("P")
R = TypeVar("R")
Self = TypeVar("Self", bound=Optimizer)


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
            if (
                self._optimizer_step_pre_hooks
                or self._optimizer_step_post_hooks
                or _global_optimizer_pre_hooks
                or _global_optimizer_post_hooks
                or torch._C._autograd._profiler_enabled()
            ):
                return in_torchs_own_way(self, *arguments, **keywords)
            return step(self, *arguments, **keywords)
        finally:
            torch._C._set_grad_enabled(before)

    vars(without_gradients)["hooked"] = True  # torch looks for this before it wraps the step itself
    return cast(Callable[Concatenate[Self, P], R], without_gradients)
