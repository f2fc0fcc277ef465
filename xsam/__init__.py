"""Sharpness-aware training: the optimizers (``from xsam import XSAM``) and the benchmark suite (``xsam-bench``)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from xsam.optim import registry

if TYPE_CHECKING:
    from xsam.optim import *  # noqa: F403

__version__ = "0.1.0"
METHODS = sorted(method.class_name for method in registry.METHODS.values() if method.alone is None)
__all__ = ["__version__", *METHODS]


def __getattr__(name: str) -> Any:
    # Lazy, so that the command line and the workers' entry can start without importing torch.
    if name in METHODS:
        return getattr(import_module("xsam.optim"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
