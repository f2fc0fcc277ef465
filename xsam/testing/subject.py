"""The method that is looked at, on either base optimizer; a rule about it, and how it says that it is broken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn
from torch.optim import SGD, Adam, Optimizer

from xsam.optim._step.base import SharpnessAware
from xsam.testing.problems import batches, closure

STEPS = 6
BASES: Mapping[str, Callable[[Any], Optimizer]] = {
    "SGD": lambda parameters: SGD(parameters, lr=0.1, momentum=0.9, weight_decay=1e-3),
    "Adam": lambda parameters: Adam(parameters, lr=1e-3, weight_decay=1e-3),
}


class ContractError(AssertionError):
    """A method breaks rules of the contract; the message has a line for each."""


class Subject:
    """Builds the method on a model."""

    def __init__(self, method: type[SharpnessAware], base: str, options: dict[str, Any]) -> None:
        self.method = method
        self.base = base
        self.options = options

    def __call__(self, model: nn.Module, **others: Any) -> SharpnessAware:
        built = BASES[self.base](model.parameters())
        return self.method(built, **{"model": model, **self.options, **others})

    def trained(self, model: nn.Module, steps: int = STEPS, **others: Any) -> SharpnessAware:
        """The method after some steps."""
        optimizer = self(model, **others)
        for batch in batches(steps):
            optimizer.step(closure(model, batch))
        return optimizer

    def plain(self, model: nn.Module) -> nn.Module:
        """``model`` trained by the base alone."""
        optimizer = BASES[self.base](model.parameters())
        for batch in batches(STEPS):
            optimizer.zero_grad()
            closure(model, batch)().backward()
            optimizer.step()
        return model


Rule = Callable[[Subject], None]


def holds(condition: bool, message: str) -> None:
    """Raise a line for the user where a rule is broken."""
    if not condition:
        raise ContractError(message)
