"""Every method on every base optimizer, as the contract tests sweep them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from xsam.optim import (
    ASAM,
    GAM,
    GSAM,
    LESAM,
    SAM,
    WSAM,
    XSAM,
    EigenSAM,
    FisherSAM,
    FriendlySAM,
    LookbehindSAM,
    LookSAM,
    MomentumSAM,
    RandomSAM,
    SharpnessAware,
    StableSAM,
    ZSharp,
)

BASES: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "plain": lambda parameters: torch.optim.SGD(parameters, lr=0.1),
    "momentum": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=1e-3),
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=1e-3, weight_decay=1e-3),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=1e-3, weight_decay=1e-2),
}

# With keywords that make every branch of a method run within a few steps.
METHODS: dict[str, tuple[type[SharpnessAware], dict[str, Any]]] = {
    "sam": (SAM, {"rho": 0.2, "ascent_steps": 2}),
    "asam": (ASAM, {"rho": 0.5, "ascent_steps": 2}),
    "gsam": (GSAM, {"rho": 0.2}),
    "wsam": (WSAM, {"rho": 0.2, "gamma": 0.7}),
    "wsam_coupled": (WSAM, {"rho": 0.2, "gamma": 0.7, "decouple": False}),
    "looksam": (LookSAM, {"rho": 0.2, "refresh_every": 3}),
    "friendly_sam": (FriendlySAM, {"rho": 0.2}),
    "fisher_sam": (FisherSAM, {"rho": 0.2, "ascent_steps": 2}),
    "momentum_sam": (MomentumSAM, {"rho": 0.3}),
    "lookbehind_sam": (LookbehindSAM, {"rho": 0.2, "ascent_steps": 3}),
    "stable_sam": (StableSAM, {"rho": 0.2, "ascent_steps": 2}),
    "le_sam": (LESAM, {"rho": 0.3, "sigma": 0.02}),
    "zsharp": (ZSharp, {"rho": 0.2, "percentile": 0.8}),
    "eigen_sam": (EigenSAM, {"rho": 0.2, "alignment": 0.5, "eigen_every": 3, "power_steps": 2}),
    "gam": (GAM, {"rho": 0.1}),
    "random_sam": (RandomSAM, {"rho": 0.2}),
    "xsam": (XSAM, {"rho": 0.2, "ascent_steps": 2, "search_every": 3, "alpha_step": 0.5}),
}
PAIRS = [(method, base) for method in METHODS for base in BASES if (method, base) != ("momentum_sam", "plain")]

# The methods that are their base at radius 0 (GAM has a second radius).
VANISHING = [method for method in METHODS if method not in ("looksam", "lookbehind_sam", "gam")]


def build(method: str, base: str, model: nn.Module, parameters: Any = None, **keywords: Any) -> SharpnessAware:
    """The method on ``model`` (or on ``parameters``, which may be groups); ``keywords`` replace its usual ones."""
    kind, usual = METHODS[method]
    built = BASES[base](model.parameters() if parameters is None else parameters)
    return kind(built, **{"model": model, **usual, **keywords})


def same(first: Any, second: Any) -> bool:
    """Whether two saved states are equal bit for bit, tensors in dicts and lists included."""
    if isinstance(first, Tensor):
        return isinstance(second, Tensor) and first.dtype is second.dtype and torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[name], second[name]) for name in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return bool(first == second)
