"""Which parameters a step moves: frozen and unused ones, sparse gradients, 16 bits."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from xsam.testing.problems import copy_of, net, same
from xsam.testing.subject import STEPS, ContractError, Rule, Subject, holds


class _Two(nn.Module):
    """Two layers, of which one is not called."""

    def __init__(self) -> None:
        super().__init__()
        self.used = nn.Linear(36, 3)
        self.frozen = nn.Linear(3, 3)
        self.unused = nn.Linear(4, 4)
        self.double()
        self.frozen.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Class scores."""
        scores: Tensor = self.frozen(self.used(images.flatten(1)))
        return scores


def _frozen(make: Subject) -> None:
    model = _Two()
    before = copy_of(model.state_dict())
    make.trained(model)
    after = model.state_dict()
    moved = [name for name in after if not name.startswith("used") and not torch.equal(after[name], before[name])]
    holds(not moved, f"{', '.join(moved)} moved")


def _untouched(make: Subject) -> None:
    model, other = net(), torch.ones(1, requires_grad=True)
    before = copy_of(model.state_dict())
    optimizer = make(model)
    for _ in range(3):
        optimizer.step(lambda: other.sum())
    holds(same(dict(model.state_dict()), dict(before)), "weights moved")


def _sparse(make: Subject) -> None:
    embedding = nn.Embedding(5, 3, sparse=True)
    optimizer = make(embedding)
    try:
        optimizer.step(lambda: embedding(torch.tensor([1, 2])).square().sum())
    except TypeError:
        return
    raise ContractError("no TypeError")


def _sixteen_bit(make: Subject) -> None:
    if make.base != "SGD":  # Adam's eps is 0 in float16
        return
    for dtype in (torch.bfloat16, torch.float16):
        torch.manual_seed(0)
        model = nn.Linear(16, 4).to(dtype)
        optimizer, images = make(model), torch.randn(32, 16).to(dtype)
        for _ in range(STEPS):
            optimizer.step(_squares(model, images))
        good = all(each.dtype is dtype and bool(each.isfinite().all()) for each in model.parameters())
        holds(good, f"parameters of {dtype} are not finite, or not of that type any more")


def _squares(model: nn.Module, images: Tensor) -> Callable[[], Tensor]:
    return lambda: (model(images).float() - 1).square().mean()


RULES: tuple[tuple[str, Rule], ...] = (
    ("frozen and unused parameters stay", _frozen),
    ("a loss that touches none of its parameters moves nothing", _untouched),
    ("a sparse gradient is a TypeError", _sparse),
    ("16-bit parameters train and stay finite", _sixteen_bit),
)
