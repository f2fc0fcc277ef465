"""Parameters of which every process holds a part, as ``fully_shard`` (FSDP2) leaves them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import torch.distributed as dist
from torch import Tensor, nn

from xsam.optim._step.foreach import Tensors


class Shards:
    """The parts of sharded parameters that this process holds, with gradients of their own; or whole parameters.

    A step computes with parts alone, which share memory with the parameters: only norms and inner products need the
    other processes. The objects are kept from step to step.

    Attributes:
        group: the processes that hold the parts; None where nothing is sharded.
    """

    def __init__(self) -> None:
        self.group: dist.ProcessGroup | None = None
        self._parts: dict[int, Tensor] = {}

    def of(self, parameters: Tensors) -> Tensors:
        """This process's part of each of ``parameters``; the very same list where nothing is sharded.

        Raises:
            ValueError: some are sharded and others not, or over several groups of processes.
        """
        sharded: Sequence[Any] = _sharded(parameters)
        if not sharded:
            self.group = None
            return parameters
        meshes = {each.device_mesh for each in sharded}
        (mesh, *others) = meshes
        if others or len(sharded) < len(parameters) or mesh.ndim > 1:
            raise ValueError("all parameters of the optimizer must be sharded over one and the same group of processes")
        self.group = mesh.get_group()
        parts = [parameter.to_local() for parameter in sharded]
        for parameter, part in zip(parameters, parts, strict=True):
            known = self._parts.get(id(parameter))
            if known is None or known.data_ptr() != part.data_ptr() or known.shape != part.shape:
                self._parts[id(parameter)] = part.detach()
        return [self._parts[id(parameter)] for parameter in parameters]


def _sharded(parameters: Tensors) -> Tensors:
    # Where it was never imported, nobody has such a tensor; importing it takes a moment.
    module = sys.modules.get("torch.distributed.tensor") if dist.is_available() and dist.is_initialized() else None
    return [] if module is None else [each for each in parameters if isinstance(each, module.DTensor)]


def hand_down(parameters: Tensors, parts: Tensors) -> None:
    """Take the gradients of ``parameters`` apart: each part gets its own, and the parameter keeps none."""
    for parameter, part in zip(parameters, parts, strict=True):
        gradient: Any = parameter.grad
        part.grad = None if gradient is None else gradient.to_local()
        parameter.grad = None


def hand_up(parameters: Tensors, parts: Tensors) -> None:
    """Give ``parameters`` the gradients that their parts have."""
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.grad = None if part.grad is None else _like(part.grad, parameter)
        part.grad = None


def reshard(model: nn.Module | None) -> None:
    """Have the modules of ``model`` gather their parameters anew: those that they hold may have moved."""
    for module in model.modules() if model is not None else ():
        again: Any = getattr(module, "reshard", None)
        if again is not None and hasattr(module, "set_reshard_after_backward"):  # of fully_shard
            again()


def _like(part: Tensor, parameter: Any) -> Any:
    module: Any = sys.modules["torch.distributed.tensor"]
    mesh, placements = parameter.device_mesh, parameter.placements
    shape, stride = parameter.shape, parameter.stride()
    return module.DTensor.from_local(part, mesh, placements, run_check=False, shape=shape, stride=stride)
