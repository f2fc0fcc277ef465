"""A perceptron with one hidden layer and BatchNorm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from torch import nn

from xsam.config import Config, Field


@dataclass(frozen=True, kw_only=True)
class Widths(Config):
    """The model's parameters in grids."""

    width: Annotated[int, Field("units of the hidden layer", at_least=1)] = 32


def two_layers(channels: int, size: int, classes: int, config: Widths) -> nn.Module:
    """Build it for ``channels`` × ``size`` × ``size`` images."""
    hidden = nn.Linear(channels * size * size, config.width)
    return nn.Sequential(
        nn.Flatten(), hidden, nn.BatchNorm1d(config.width), nn.ReLU(), nn.Linear(config.width, classes)
    )
