"""The weights that are kept over the epochs, to be tested when training is over."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

Weights = dict[str, torch.Tensor]


class Kept:
    """Copies of a model's weights: those with the best validation score so far, and those of the last epochs.

    Args:
        average_last: how many last epochs the final weights are the mean of; 1: the last epoch's own.

    Example:
        >>> model, kept = nn.Linear(1, 1), Kept(average_last=2)
        >>> for value, score in ((1.0, 5.0), (3.0, 4.0)):
        ...     _ = nn.init.constant_(model.weight, value)
        ...     kept.take(model, score)
        >>> {rule: weights["weight"].item() for rule, weights in kept.choices().items()}
        {'final': 2.0, 'best_val': 1.0}
    """

    def __init__(self, average_last: int) -> None:
        self._average_last = average_last
        self._best_score = -math.inf
        self._best: Weights = {}
        self._last: list[Weights] = []

    def take(self, model: nn.Module, score: float) -> None:
        """Remember the model's weights after an epoch whose validation score is ``score`` (higher is better)."""
        copy = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        self._last = [*self._last, copy][-self._average_last :]
        if score > self._best_score:
            self._best_score, self._best = score, copy

    def choices(self) -> dict[str, Weights]:
        """Selection rule (``"final"``, ``"best_val"``) → weights."""
        return {"final": mean(self._last), "best_val": self._best}

    def state(self) -> dict[str, Any]:
        """Everything kept, for a checkpoint."""
        return {"best_score": self._best_score, "best": self._best, "last": self._last}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state`."""
        self._best_score, self._best, self._last = state["best_score"], state["best"], state["last"]


def mean(sets: list[Weights]) -> Weights:
    """Each floating-point tensor's mean over ``sets``, in float64 on the way; the last set's other tensors."""
    last = sets[-1]
    if len(sets) == 1:
        return last
    return {
        name: torch.stack([one[name].double() for one in sets]).mean(dim=0).to(tensor.dtype)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in last.items()
    }
