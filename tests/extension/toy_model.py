"""A model with a field of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from xsam.config import Config, Field


@dataclass(frozen=True, kw_only=True)
class ToyModelConfig(Config):
    bottleneck: Annotated[int, Field("width of the layer between", at_least=1)] = 4


def build(channels, size, classes, config):
    from torch import nn

    width = config.bottleneck
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size * size, width), nn.ReLU(), nn.Linear(width, classes))
