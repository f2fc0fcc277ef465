"""Holding a model still while it is measured, and leaving no trace of the measurement."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm

from xsam.optim._step import options
from xsam.optim._step.backup import Backup
from xsam.optim._step.buffers import Buffers
from xsam.optim._step.foreach import Tensors

BatchNorm = Literal["eval", "batch"]


def trainable(model: nn.Module) -> Tensors:
    """The parameters that require a gradient; ``ValueError`` where there is none."""
    parameters: Tensors = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise ValueError("no parameter of the model requires a gradient")
    return parameters


@contextmanager
def frozen(model: nn.Module, batchnorm: BatchNorm) -> Iterator[Tensors]:
    """Measure ``model`` in this context, with its trainable parameters; afterwards all is as before, bit for bit.

    This holds on exceptions too, for parameters, ``.grad``, buffers, which modules train, and torch's random state (CPU
    and the parameters' CUDA device). Inside, dropout is off and gradients are enabled. Attention runs on the math
    kernel, and a compiled model uncompiled: there is no second derivative of the fused and compiled ones.

    Args:
        batchnorm: ``"eval"``: BatchNorm uses its running statistics; ``"batch"``: those of the batch, as in training.
    """
    options.choice("batchnorm", batchnorm, ("eval", "batch"))
    parameters = trainable(model)
    device = parameters[0].device
    training = {module: module.training for module in model.modules()}
    gradients = [parameter.grad for parameter in model.parameters()]
    weights, buffers = Backup(), Buffers()
    weights.save(parameters)
    buffers.start(model)
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda), sdpa_kernel(SDPBackend.MATH), torch.enable_grad(), _eager(model):
        try:
            model.eval()
            for module in model.modules():
                if batchnorm == "batch" and isinstance(module, _BatchNorm):
                    module.train()
            yield parameters
        finally:
            with torch.no_grad():
                weights.restore()
                buffers.roll_back()
            for module, flag in training.items():
                module.training = flag
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                parameter.grad = gradient


def _eager(model: nn.Module) -> AbstractContextManager[object]:
    if any(module._compiled_call_impl is not None for module in model.modules()):
        eager: AbstractContextManager[object] = torch.compiler.set_stance("force_eager")
        return eager
    return nullcontext()
