"""The processes that train one model together, and what they agree on."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import lru_cache
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from xsam.optim._step import foreach
from xsam.optim._step.foreach import Tensors

Perturbation = Literal["global", "local"]
_ALL = nullcontext()


class Replicas:
    """The processes that train one model, as they are now; a process alone where ``torch.distributed`` is not set up.

    Args:
        model: whose ``DistributedDataParallel`` modules say which processes those are. Without one it is all of them.
        perturbation: ``"local"``: every replica forms an update of its own, and :meth:`average_gradients` joins these.

    Attributes:
        count: of processes.
        local: whether every replica forms its own update.
        wrapped: whether there are ``DistributedDataParallel`` modules, which :meth:`pass_context` is about.

    Raises:
        ValueError: a local perturbation of several processes without a ``DistributedDataParallel`` module or with one
            of a static graph, or modules of several process groups.
    """

    def __init__(self, model: nn.Module | None, perturbation: Perturbation) -> None:
        self.count = 1
        self.local = False
        self.wrapped = False
        self._wrappers: list[DistributedDataParallel] = []
        self._group: dist.ProcessGroup | None = None
        if not (dist.is_available() and dist.is_initialized()):
            return
        if model is not None:
            self._wrappers = [each for each in model.modules() if isinstance(each, DistributedDataParallel)]
            self.wrapped = bool(self._wrappers)
        groups = list(dict.fromkeys(wrapper.process_group for wrapper in self._wrappers))
        if len(groups) > 1:
            raise ValueError(
                "the DistributedDataParallel modules of model are of several process groups: give them one"
            )
        self._group = groups[0] if groups else None
        self.count = dist.get_world_size(self._group)
        self.local = perturbation == "local" and self.count > 1
        if self.local and any(wrapper.static_graph for wrapper in self._wrappers):
            raise ValueError(
                'perturbation="local" leaves passes unsynchronised, which DistributedDataParallel cannot do with '
                "static_graph=True"
            )
        if self.local and not self._wrappers:
            raise ValueError(
                'perturbation="local" needs model= with the DistributedDataParallel module whose passes are not to be '
                f"synchronised, not {'None' if model is None else type(model).__name__}"
            )

    @classmethod
    def now(cls, model: nn.Module | None, perturbation: Perturbation) -> Replicas:
        """Like the constructor; a process alone, which has nothing to look up, gets the same object each time."""
        return cls(model, perturbation) if dist.is_available() and dist.is_initialized() else _alone()

    def pass_context(self, *, last: bool) -> AbstractContextManager[object]:
        """The context of one closure's forward and backward.

        Gradients are averaged over the replicas after the last closure of a pass, or not at all where updates are
        local.
        """
        if not self._wrappers or (last and not self.local):
            return _ALL
        stack = ExitStack()
        for wrapper in self._wrappers:
            if not wrapper.static_graph:  # torch fails where no_sync() meets the first pass over a static graph
                stack.enter_context(wrapper.no_sync())
        return stack

    def leave_as_after_training(self) -> None:
        """Let the next forward begin with rank 0's buffers, as it does after a plain training step."""
        # Forwards without a graph or under no_sync() switch that off.
        for wrapper in self._wrappers:
            wrapper.require_forward_param_sync = True

    def mean(self, value: float, device: torch.device) -> float:
        """The mean of the replicas' values, the same number on all of them; waits for the device."""
        if self.count == 1:
            return value
        return self.total(torch.tensor(value / self.count, dtype=torch.float64, device=device)).item()

    def of_first(self, value: int, device: torch.device) -> int:
        """The value of the first replica; waits for the device."""
        if self.count == 1:
            return value
        mine = value if dist.get_rank(self._group) == 0 else 0
        return int(self.total(torch.tensor(mine, dtype=torch.int64, device=device)).item())

    def total(self, value: Tensor) -> Tensor:
        """The sum of the replicas' tensors, written into ``value``."""
        if self.count > 1:
            dist.all_reduce(value, group=self._group)
        return value

    def average_gradients(self, parameters: Tensors) -> None:
        """Where updates are local, put the mean of all replicas' gradients into ``.grad``.

        A gradient that a replica lacks counts as zero; one that all lack stays None.
        """
        if not self.local:
            return
        present = [float(parameter.grad is not None) for parameter in parameters]
        holders = self.total(torch.tensor(present, device=parameters[0].device))
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        for dtype in dict.fromkeys(gradient.dtype for gradient in gradients):
            self._average([gradient for gradient in gradients if gradient.dtype is dtype])
        if not all(present):  # only then is the device waited for
            for parameter, count in zip(parameters, holders.tolist(), strict=True):
                if count == 0:
                    parameter.grad = None

    def _average(self, tensors: Tensors) -> None:
        # One message; divided before the sum, which could overflow in 16 bits.
        flat = self.total(torch.cat([tensor.reshape(-1) for tensor in tensors]) / self.count)
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        foreach.copy_(tensors, [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)])


@lru_cache(maxsize=1)
def _alone() -> Replicas:
    return Replicas(None, "global")
