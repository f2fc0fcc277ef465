"""Base optimizers by their names in grids: which parameters each takes, and how it is built from them.

Needs the standard library alone; torch is imported when an optimizer is built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xsam.parameters import Parameter, Parameters
from xsam.registries import Registry

if TYPE_CHECKING:
    import torch

Table = Mapping[str, Parameter]


@dataclass(frozen=True)
class Base:
    """A base optimizer.

    Attributes:
        target: ``module:class``, or what makes one of its own from parameters to train and keywords.
        parameters: its parameters in grids.
        keywords: makes its keyword arguments from a run's parameters.
    """

    target: str | Callable[..., torch.optim.Optimizer]
    parameters: Table
    keywords: Callable[[Parameters], dict[str, Any]]


_LR = Parameter("float", 0.05, above=0, help="peak learning rate")
_WEIGHT_DECAY = Parameter("float", 0.0, at_least=0, help="weight decay of the base optimizer")
_ADAM = {
    "lr": Parameter("float", 1e-3, above=0, help="peak learning rate"),
    "weight_decay": _WEIGHT_DECAY,
    "beta1": Parameter("float", 0.9, at_least=0, below=1, help="decay of the first moment"),
    "beta2": Parameter("float", 0.999, at_least=0, below=1, help="decay of the second moment"),
    "eps": Parameter("float", 1e-8, above=0, help="added to the denominator"),
}


def _sgd_keywords(params: Parameters) -> dict[str, Any]:
    return {name: params[name] for name in ("lr", "weight_decay", "momentum", "nesterov")}


def _adam_keywords(params: Parameters) -> dict[str, Any]:
    keywords: dict[str, Any] = {name: params[name] for name in ("lr", "weight_decay", "eps")}
    return {**keywords, "betas": (params["beta1"], params["beta2"])}


BASES: Registry[Base] = Registry(
    "base optimizer",
    {
        "sgd": Base(
            "torch.optim:SGD",
            {
                "lr": _LR,
                "weight_decay": _WEIGHT_DECAY,
                "momentum": Parameter("float", 0.9, at_least=0, below=1, help="momentum of SGD"),
                "nesterov": Parameter("bool", False, help="Nesterov momentum"),
            },
            _sgd_keywords,
        ),
        "adam": Base("torch.optim:Adam", _ADAM, _adam_keywords),
        "adamw": Base("torch.optim:AdamW", _ADAM, _adam_keywords),
    },
)
