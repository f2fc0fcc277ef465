"""The small problems in float64 on which a method is looked at."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Batch = tuple[Tensor, Tensor]


def net(dropout: bool = False) -> nn.Sequential:
    """A convolution, BatchNorm and two linear layers, on 1×6×6 images of three classes; always the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3),
            nn.BatchNorm2d(4),
            nn.Tanh(),
            nn.Flatten(),
            nn.Dropout(0.5 if dropout else 0.0),
            nn.Linear(64, 8),
            nn.Tanh(),
            nn.Linear(8, 3),
        ).double()


def batches(count: int, size: int = 8) -> list[Batch]:
    """Random images and labels, always the same."""
    generator = torch.Generator().manual_seed(1)
    return [
        (
            torch.randn(size, 1, 6, 6, generator=generator, dtype=torch.float64),
            torch.randint(0, 3, (size,), generator=generator),
        )
        for _ in range(count)
    ]


def closure(model: nn.Module, batch: Batch) -> Callable[[], Tensor]:
    """The loss of ``batch``."""
    return lambda: nn.functional.cross_entropy(model(batch[0]), batch[1])


def copy_of(state: Any) -> Any:
    """A state of its own."""
    return copy.deepcopy(state)


def same(first: Any, second: Any) -> bool:
    """Whether two states are equal bit for bit, tensors in dicts and lists included."""
    if isinstance(first, Tensor):
        return isinstance(second, Tensor) and first.dtype is second.dtype and torch.equal(first, second)
    if isinstance(first, dict):
        return (
            isinstance(second, dict) and first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
        )
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return bool(first == second)


def distance(first: nn.Module, second: nn.Module) -> float:
    """The largest difference between two models' weights and buffers."""
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return max(float((a.double() - b.double()).abs().max()) for a, b in pairs)
