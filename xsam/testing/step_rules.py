"""What one step does: its passes, what they leave behind, and what they may not do to the device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from xsam.testing.problems import batches, closure, copy_of, distance, net, same
from xsam.testing.subject import STEPS, ContractError, Rule, Subject, holds


def _steps(make: Subject) -> None:
    model, twin = net(), net()
    optimizer = make(model)
    (batch,) = batches(1)
    before = copy_of(model.state_dict())
    returned = optimizer.step(closure(model, batch))
    holds(isinstance(returned, Tensor), f"step() returned {type(returned).__name__}, not a tensor")
    holds(not same(dict(model.named_parameters()), before), "no weight moved")
    holds(not returned.requires_grad, "the returned loss still has its graph")
    first = float(closure(twin, batch)().detach())
    moved = "rho" in optimizer._options and float(returned) != first and optimizer.backwards == 1
    holds(moved or abs(float(returned) - first) < 1e-9, f"step() returned {float(returned):g}, the loss was {first:g}")


def _undone(make: Subject) -> None:
    model, twin = net(), net()
    optimizer, other = make(model), make(twin)
    for batch in batches(4):
        before = other.forwards
        other.step(closure(twin, batch))
        for call in range(1, other.forwards - before + 1):
            weights, kept = copy_of(model.state_dict()), copy_of(optimizer.state_dict())
            try:
                optimizer.step(_raising(closure(model, batch), call))
            except _Planted:
                pass
            else:
                raise ContractError(f"the exception of pass {call} was swallowed")
            holds(same(dict(model.state_dict()), dict(weights)), f"weights or buffers differ after pass {call} raised")
            holds(same(optimizer.state_dict(), kept), f"its state differs after pass {call} raised")
        optimizer.step(closure(model, batch))
        holds(same(dict(model.state_dict()), dict(twin.state_dict())), "the step that was done again is another one")


class _Planted(Exception):
    """What a closure raises on purpose."""


def _raising(loss: Callable[[], Tensor], call: int) -> Callable[[], Tensor]:
    left = [call]

    def once() -> Tensor:
        value = loss()
        left[0] -= 1
        if not left[0]:
            raise _Planted
        return value

    return once


def _buffers(make: Subject) -> None:
    model, twin = net(), net()
    optimizer = make(model)
    for batch in batches(3):
        seen: list[bool] = []

        def watched(batch: Any = batch, seen: list[bool] = seen) -> Tensor:
            if not seen:  # the twin looks at the same weights, once
                seen.append(True)
                with torch.no_grad():
                    for mine, theirs in zip(twin.parameters(), model.parameters(), strict=True):
                        mine.copy_(theirs)
                closure(twin, batch)()
            return closure(model, batch)()

        optimizer.step(watched)
    holds(same(dict(model.named_buffers()), dict(twin.named_buffers())), "they are those of more passes")


def _masks(make: Subject) -> None:
    model = net(dropout=True)
    optimizer = make(model)
    seen: list[Tensor] = []
    hook = model[4].register_forward_hook(lambda _, __, output: seen.append((output == 0).clone()))
    torch.manual_seed(7)
    (batch,) = batches(1)
    optimizer.step(closure(model, batch))
    hook.remove()
    holds(all(torch.equal(seen[0], mask) for mask in seen), "passes of one step have different masks")


def _accumulates(make: Subject) -> None:
    model, twin = (nn.Sequential(nn.Flatten(), nn.Linear(36, 3)).double() for _ in range(2))
    twin.load_state_dict(model.state_dict())
    optimizer, other = make(model), make(twin)
    for images, labels in batches(3):
        parts = list(zip(images.split([5, 3]), labels.split([5, 3]), strict=True))
        optimizer.step([closure(model, part) for part in parts], weights=[5, 3])
        other.step(closure(twin, (images, labels)))
    holds(distance(model, twin) < 1e-9, f"weights differ by {distance(model, twin):.1e}")


class _Reads(TorchDispatchMode):
    """Notes operations that wait for the device."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's has no types
        self.found: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(function)
        if "_local_scalar_dense" in name or "is_nonzero" in name or "nonzero." in name:
            self.found.append(name)
        return function(*args, **(kwargs or {}))


def waits_not(make: Subject) -> None:
    """No step waits for the device."""
    if make.base != "SGD":  # Adam reads its step count
        return
    model = net()
    optimizer = make(model)
    with _Reads() as reads:
        for batch in batches(STEPS):
            optimizer.step(closure(model, batch))
    holds(not reads.found, f"{len(reads.found)} numbers were read from the device (item(), float(), if tensor:)")


RULES: tuple[tuple[str, Rule], ...] = (
    ("it takes a step, changes the weights and returns the first pass's loss", _steps),
    ("a closure that raises leaves weights, buffers and its own state where they were", _undone),
    ("buffers end as one plain forward leaves them", _buffers),
    ("all passes of a step see the same dropout masks", _masks),
    ("closures in a list are the joined batch", _accumulates),
)
