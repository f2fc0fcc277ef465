"""What a base optimizer must be for a method to wrap it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.optim import Optimizer


def check_base(base: Any, kind: type[Optimizer], method: str) -> None:
    """Raise ``TypeError`` or ``ValueError``, with the way out, where ``base`` is nothing that a method can wrap.

    Args:
        base: what was given.
        kind: the class of all methods, which wrap no other one.
        method: the name of the class that is to wrap it.
    """
    if not isinstance(base, Optimizer) or isinstance(base, kind):
        raise TypeError(
            "base must be a built torch optimizer, as in "
            f"{method}(torch.optim.SGD(model.parameters(), lr=0.1), rho=0.05), not "
            f"{base.__name__ if isinstance(base, type) else type(base).__name__}"
        )
    closure = inspect.signature(type(base).step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise TypeError(
            f"base must step without a closure, and {type(base).__name__} evaluates the loss itself: take SGD or Adam, "
            f"or {type(base).__name__} alone"
        )
    for group in base.param_groups:
        check_group(group)


def check_group(group: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` where a parameter group has a complex parameter."""
    given = group["params"]
    for parameter in [given] if isinstance(given, Tensor) else given:
        if isinstance(parameter, Tensor) and parameter.is_complex():
            raise ValueError(
                f"a parameter of shape {tuple(parameter.shape)} is complex: make it a real one of shape "
                f"{(*parameter.shape, 2)}, and call torch.view_as_complex on it in the model"
            )
