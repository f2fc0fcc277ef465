"""The number format of a run's forward passes."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch.amp.grad_scaler import GradScaler

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The context of forward passes in ``precision`` (``"fp32"``, ``"bf16"``, ``"fp16"``); weights stay in float32."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=_AUTOCAST[precision])


def grad_scaler(precision: str, device: torch.device) -> GradScaler | None:
    """What keeps small gradients above zero: float16 needs it, the wider range of the others does not."""
    return GradScaler(device.type) if precision == "fp16" else None
