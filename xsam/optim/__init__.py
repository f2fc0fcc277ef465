"""Sharpness-aware optimizers for PyTorch; needs torch alone.

Classes are loaded on first use, so that ``xsam.optim.registry`` can be read without importing torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from xsam.optim import registry

if TYPE_CHECKING:  # for type checkers, which do not see what is loaded on first use
    from xsam.optim._step.alone import BaseAlone as BaseAlone
    from xsam.optim._step.base import SharpnessAware as SharpnessAware
    from xsam.optim.asam import ASAM as ASAM
    from xsam.optim.eigen_sam import EigenSAM as EigenSAM
    from xsam.optim.fisher_sam import FisherSAM as FisherSAM
    from xsam.optim.friendly_sam import FriendlySAM as FriendlySAM
    from xsam.optim.gam import GAM as GAM
    from xsam.optim.gsam import GSAM as GSAM
    from xsam.optim.le_sam import LESAM as LESAM
    from xsam.optim.lookbehind_sam import LookbehindSAM as LookbehindSAM
    from xsam.optim.looksam import LookSAM as LookSAM
    from xsam.optim.momentum_sam import MomentumSAM as MomentumSAM
    from xsam.optim.random_sam import RandomSAM as RandomSAM
    from xsam.optim.sam import SAM as SAM
    from xsam.optim.sam_on import SAMON as SAMON
    from xsam.optim.stable_sam import StableSAM as StableSAM
    from xsam.optim.wsam import WSAM as WSAM
    from xsam.optim.xsam import XSAM as XSAM
    from xsam.optim.zsharp import ZSharp as ZSharp

_TARGETS = {
    "SharpnessAware": "xsam.optim._step.base:SharpnessAware",
    **{method.class_name: method.target for method in registry.METHODS.values() if isinstance(method.target, str)},
}
__all__ = sorted(_TARGETS)


def __getattr__(name: str) -> Any:
    if name not in _TARGETS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, name = _TARGETS[name].partition(":")
    return getattr(import_module(module), name)
