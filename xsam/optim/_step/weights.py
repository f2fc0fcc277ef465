"""The weights during one step: moved along vectors, and put back where the step found them, bit for bit."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xsam.optim._step import foreach
from xsam.optim._step.backup import Backup
from xsam.optim._step.foreach import Scalar, Tensors

SMALL = 1 << 14  # elements


class Weights:
    """Where a step's parameters started, and the means to move them and to put them back.

    A parameter is put back in one of two ways. On a CPU, where memory is what a step waits for, one whose memory nobody
    else looks at is moved out of place: it points at other memory until it gets its own back, which saves copying it
    away and back. All others are copied and written in place: small ones, which are copied sooner than it is seen
    whether nobody looks; those on an accelerator, whose addresses a captured graph may hold; 16-bit ones; and those
    that share their memory with another tensor, an array or a process.

    Memory is kept from step to step.

    Args:
        copies: copy every parameter, for a method that needs the start after the weights are back.

    Attributes:
        saved: whether there are parameters to be put back.

    Example:
        >>> weight, weights = nn.Parameter(torch.ones(2)), Weights()
        >>> with torch.no_grad():
        ...     weights.save([weight])
        ...     weights.move([weight], [torch.tensor([1.0, 2.0])], torch.tensor(0.5))
        >>> weight.tolist()
        [1.5, 2.0]
        >>> with torch.no_grad():
        ...     weights.restore()
        >>> weight.tolist()
        [1.0, 1.0]
    """

    def __init__(self, *, copies: bool = False) -> None:
        self._copy_all = copies
        self.saved = False
        self._backup = Backup()
        # By id(): hashing a tensor runs Python code. Another parameter that gets an old one's id gets its spare memory.
        self._spares: dict[int, Tensor] = {}
        self._own: dict[int, Tensor] = {}
        self._away: dict[int, Tensor] = {}

    def save(self, parameters: Tensors) -> None:
        """Remember where ``parameters`` are."""
        self.saved = True
        least = SMALL if foreach.all_wide(parameters) else 0
        large = [] if self._copy_all else [parameter for parameter in parameters if parameter.numel() > least]
        alone = [parameter for parameter in large if _alone(parameter)]
        if not alone:
            self._own = {}
            self._backup.save(parameters)
            return
        self._own = {id(parameter): parameter.data for parameter in alone}
        self._spares = {id(parameter): self._spare(parameter) for parameter in alone}
        self._backup.save([parameter for parameter in parameters if id(parameter) not in self._own])

    def move(self, parameters: Tensors, vectors: Tensors, scale: Scalar) -> None:
        """``parameters += scale * vectors`` with a 0-d ``scale``, for some or all of the saved parameters."""
        if not self._own:
            foreach.add_scaled_(parameters, vectors, scale)
            return
        in_place: list[tuple[Tensor, Tensor]] = []
        leaving: dict[int, Tensor] = {}
        # From the end, where whoever read the vectors last has left them in the cache.
        for parameter, vector in zip(reversed(parameters), reversed(vectors), strict=True):
            key = id(parameter)
            if key in self._own and key not in self._away:
                foreach.add_product(self._own[key], vector, scale, out=self._spares[key])
                leaving[key] = parameter
            else:
                in_place.append((parameter, vector))
        if leaving:
            _point(leaving, self._spares)
            self._away |= leaving
        foreach.add_scaled_([parameter for parameter, _ in in_place], [vector for _, vector in in_place], scale)

    def restore(self) -> None:
        """Put the parameters of the last ``save`` back, bit for bit."""
        if self._away:
            _point(self._away, self._own)
            self._away = {}
        self._backup.restore()

    def release(self) -> None:
        """Forget the parameters, so that ``restore`` does nothing; keep the memory."""
        self.saved = False
        if self._own:
            self._own = {}
            self._away = {}
        self._backup.release()

    def draw_back(self, parameters: Tensors, share: float) -> None:
        """Move ``parameters``, copied by the last ``save``, this share of the way back to where they were then."""
        self._backup.draw_back(parameters, share)

    def _spare(self, parameter: Tensor) -> Tensor:
        spare = self._spares.get(id(parameter))
        if spare is None or spare.shape != parameter.shape or spare.dtype is not parameter.dtype:
            return torch.empty_like(parameter, requires_grad=False)
        return spare


def _point(parameters: dict[int, Tensor], memory: dict[int, Tensor]) -> None:
    """Let each of ``parameters`` use its part of ``memory``; both are by id()."""
    for key, parameter in parameters.items():
        parameter.data = memory[key]
    # As writing in place would: a graph that still holds the old values must not run backward on the new ones.
    torch.autograd.graph.increment_version(list(parameters.values()))


def _alone(parameter: Tensor) -> bool:
    """Whether ``parameter`` is in the CPU's memory, all of it its own, with no other tensor, array or process there."""
    if type(parameter) is not nn.Parameter or parameter.device.type != "cpu" or not foreach.wide(parameter):
        return False
    if parameter.layout is not torch.strided:
        return False
    storage = parameter.untyped_storage()
    if storage.is_shared():
        return False
    whole = storage.nbytes() == parameter.numel() * parameter.element_size()
    # The parameter and the object that asks.
    return whole and torch._C._storage_Use_Count(storage._cdata) == 2
