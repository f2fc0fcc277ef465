"""Tensors that a method keeps from step to step."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.optim import Optimizer

from xsam.optim._step.foreach import Tensors


class PerParameter:
    """A tensor for each of some parameters, like the state of a torch optimizer.

    Not kept in the base's own state: some bases take a parameter with any state for one that they have set up. A kept
    tensor is replaced, never written to, as a saved state may share it.

    Example:
        >>> import torch
        >>> weight, other, kept = torch.zeros(2), torch.zeros(1), PerParameter()
        >>> kept.replace([weight], [torch.ones(2)])
        >>> kept.of([other, weight])
        [None, tensor([1., 1.])]
        >>> kept.state(torch.optim.SGD([other, weight]))
        {1: tensor([1., 1.])}
    """

    def __init__(self) -> None:
        self._tensors: dict[Tensor, Tensor] = {}

    def of(self, parameters: Tensors) -> list[Tensor | None]:
        """The tensor of each of ``parameters``; None where it has none."""
        return [self._tensors.get(parameter) for parameter in parameters]

    def replace(self, parameters: Tensors, tensors: Tensors) -> None:
        """Keep ``tensors``, one for each of ``parameters``; those of other parameters stay."""
        self._tensors.update(zip(parameters, tensors, strict=True))

    def clear(self) -> None:
        """Keep none."""
        self._tensors.clear()

    def state(self, optimizer: Optimizer) -> dict[int, Tensor]:
        """The tensors by the positions of their parameters in ``optimizer``, to be saved."""
        everything = _parameters_of(optimizer)
        return {index: self._tensors[each] for index, each in enumerate(everything) if each in self._tensors}

    def load(self, saved: Mapping[int, Tensor], optimizer: Optimizer) -> None:
        """Keep what :meth:`state` gave, on the devices and in the dtypes of the parameters."""
        everything = _parameters_of(optimizer)
        self._tensors = {everything[index]: _like(tensor, everything[index]) for index, tensor in saved.items()}


def _parameters_of(optimizer: Optimizer) -> Tensors:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _like(tensor: Tensor, parameter: Tensor) -> Tensor:
    return tensor.to(device=parameter.device, dtype=parameter.dtype)
