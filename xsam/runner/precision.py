"""The number format of a run's forward passes."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch.amp.grad_scaler import GradScaler

AMPERE = (8, 0)  # compute capability
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The context of forward passes in ``precision``; weights stay in float32.

    ``"fp32"`` is float32 throughout; ``"tf32"`` lets a GPU round the factors of matrix products and convolutions to
    TensorFloat-32; ``"bf16"`` and ``"fp16"`` are torch's autocast.
    """
    if precision not in _AUTOCAST:
        return nullcontext()
    return torch.autocast(device.type, dtype=_AUTOCAST[precision])


def set_up(precision: str, device: torch.device) -> None:
    """Bring the process's switches for TensorFloat-32 to what ``precision`` says; by default torch has them half on.

    Raises:
        ValueError: ``"tf32"`` on a device that has no such format.
    """
    wanted = precision == "tf32"
    if wanted and (device.type != "cuda" or torch.cuda.get_device_capability(device) < AMPERE):
        raise ValueError(f"precision tf32 needs an NVIDIA GPU of the Ampere generation or later, not {device.type}")
    torch.backends.cuda.matmul.allow_tf32 = wanted
    torch.backends.cudnn.allow_tf32 = wanted


def grad_scaler(precision: str, device: torch.device) -> GradScaler | None:
    """What keeps small gradients above zero: float16 needs it, the wider range of the others does not."""
    return GradScaler(device.type) if precision == "fp16" else None
