"""XSAM as published code writes such methods: a loop over parameters for each operation, clones, host scalars.

The yardstick of ``optimizers.py``; nobody should train with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


class PlainXSAM:
    """One-to-one from the formulas of the paper (arXiv 2603.10048), with a fixed alpha and without a search."""

    def __init__(self, base: torch.optim.Optimizer, rho: float, alpha: float, ascent_steps: int = 1) -> None:
        self.base = base
        self.rho = rho
        self.alpha = alpha
        self.ascent_steps = ascent_steps
        self.parameters = [parameter for group in base.param_groups for parameter in group["params"]]

    def _norm(self, tensors: list[Tensor]) -> Tensor:
        norm: Tensor = torch.norm(torch.stack([torch.norm(tensor) for tensor in tensors]))
        return norm

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor]) -> Tensor:
        start = [parameter.clone() for parameter in self.parameters]
        loss = self._gradient(closure)
        for step in range(self.ascent_steps):
            norm = self._norm([parameter.grad for parameter in self.parameters])
            for parameter in self.parameters:
                parameter.add_(parameter.grad * (self.rho / self.ascent_steps / (norm + 1e-12)))
            if step + 1 < self.ascent_steps:
                self._gradient(closure)
        self._gradient(closure)
        difference = [parameter - old for parameter, old in zip(self.parameters, start, strict=True)]
        gradient = [parameter.grad.clone() for parameter in self.parameters]
        length, norm = self._norm(difference), self._norm(gradient)
        v0 = [tensor / length for tensor in difference]
        v1 = [tensor / norm for tensor in gradient]
        cosine = sum((a * b).sum() for a, b in zip(v0, v1, strict=True))
        psi = math.acos(max(-1.0, min(1.0, cosine.item())))
        c0 = math.sin((1 - self.alpha) * psi) / math.sin(psi)
        c1 = math.sin(self.alpha * psi) / math.sin(psi)
        for parameter, old, a, b in zip(self.parameters, start, v0, v1, strict=True):
            parameter.copy_(old)
            parameter.grad.copy_((c0 * a + c1 * b) * norm)
        self.base.step()
        return loss

    def _gradient(self, closure: Callable[[], Tensor]) -> Tensor:
        self.base.zero_grad()
        with torch.enable_grad():
            loss = closure()
            loss.backward()
        return loss.detach()
