"""Sharpness-aware optimizers for PyTorch; needs torch alone.

Classes are loaded on first use, so that ``xsam.optim.registry`` can be read without importing torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xsam.optim._step.base import BaseAlone as BaseAlone
    from xsam.optim._step.base import SharpnessAware as SharpnessAware
    from xsam.optim.asam import ASAM as ASAM
    from xsam.optim.fisher_sam import FisherSAM as FisherSAM
    from xsam.optim.friendly_sam import FriendlySAM as FriendlySAM
    from xsam.optim.gsam import GSAM as GSAM
    from xsam.optim.lookbehind_sam import LookbehindSAM as LookbehindSAM
    from xsam.optim.looksam import LookSAM as LookSAM
    from xsam.optim.momentum_sam import MomentumSAM as MomentumSAM
    from xsam.optim.sam import SAM as SAM
    from xsam.optim.wsam import WSAM as WSAM
    from xsam.optim.xsam import XSAM as XSAM

_MODULES = {
    "BaseAlone": "xsam.optim._step.base",
    "SharpnessAware": "xsam.optim._step.base",
    "ASAM": "xsam.optim.asam",
    "FisherSAM": "xsam.optim.fisher_sam",
    "FriendlySAM": "xsam.optim.friendly_sam",
    "GSAM": "xsam.optim.gsam",
    "LookbehindSAM": "xsam.optim.lookbehind_sam",
    "LookSAM": "xsam.optim.looksam",
    "MomentumSAM": "xsam.optim.momentum_sam",
    "SAM": "xsam.optim.sam",
    "WSAM": "xsam.optim.wsam",
    "XSAM": "xsam.optim.xsam",
}

__all__ = [
    "ASAM",
    "GSAM",
    "SAM",
    "WSAM",
    "XSAM",
    "BaseAlone",
    "FisherSAM",
    "FriendlySAM",
    "LookSAM",
    "LookbehindSAM",
    "MomentumSAM",
    "SharpnessAware",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
