"""Products of the Hessian of the mean loss with vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from xsam.optim._step.foreach import Tensors
from xsam.optim._step.objective import shares

LossFunction = Callable[[nn.Module, Any], Tensor]

GRAPH_BYTES = 2 * 1024**3


def closures(
    model: nn.Module, loss_fn: LossFunction, batches: Iterable[Any], weights: Sequence[float] | None
) -> tuple[list[Callable[[], Tensor]], list[float]]:
    """Each batch's loss as a closure, and its share of the mean loss; ``ValueError`` without batches."""
    losses: list[Callable[[], Tensor]] = [partial(loss_fn, model, batch) for batch in batches]
    if not losses:
        raise ValueError("batches is empty: there is no loss to measure")
    return losses, shares(len(losses), weights)


class Hessian:
    """The Hessian of the mean loss as an operator on flat vectors, by double backward.

    The graph of the gradient is kept from product to product, which spares the first two thirds of the work, for as
    many batches as ``graph_bytes`` have room for; it is built anew each time for the others.

    Args:
        parameters: with respect to which; a flat vector holds their elements one after the other.
        losses, weights: see :func:`closures`.
        graph_bytes: memory for graphs, counted as the tensors that they save.

    Attributes:
        size: elements of a flat vector.
        products: computed so far.
    """

    def __init__(
        self, parameters: Tensors, losses: Sequence[Callable[[], Tensor]], weights: Sequence[float], graph_bytes: int
    ) -> None:
        self._parameters = parameters
        self._kept: list[Tensor] | None = None
        self._rest: list[tuple[Callable[[], Tensor], float]] = []
        self.size = sum(parameter.numel() for parameter in parameters)
        self.products = 0
        room = graph_bytes
        for loss, weight in zip(losses, weights, strict=True):
            if weight == 0.0:
                continue
            if room > 0:
                gradient, taken = self._measured_gradient(loss, weight)
                room -= taken
                if room >= 0:
                    self._kept = _sum(self._kept, gradient)
                    continue
                del gradient
            self._rest.append((loss, weight))

    @property
    def dtype(self) -> torch.dtype:
        """Of flat vectors."""
        return torch.float64 if any(each.dtype is torch.float64 for each in self._parameters) else torch.float32

    @property
    def device(self) -> torch.device:
        """Of flat vectors."""
        return self._parameters[0].device

    def gradient(self) -> Tensor:
        """The flat gradient of the mean loss."""
        total = torch.zeros(self.size, dtype=self.dtype, device=self.device)
        if self._kept is not None:
            self._add(total, self._kept)
        for loss, weight in self._rest:
            self._add(total, self._gradient(loss, weight, create_graph=False))
        return total

    def __matmul__(self, vector: Tensor) -> Tensor:
        """The Hessian times the flat ``vector``, a new flat vector."""
        self.products += 1
        total = torch.zeros(self.size, dtype=self.dtype, device=self.device)
        parts = self._parts(vector)
        if self._kept is not None:
            self._add(total, self._product(self._kept, parts, keep=True))
        for loss, weight in self._rest:
            self._add(total, self._product(self._gradient(loss, weight, create_graph=True), parts, keep=False))
        return total

    def _product(self, gradient: Sequence[Tensor], parts: Sequence[Tensor], keep: bool) -> Sequence[Tensor]:
        # Where the loss is linear in a parameter, its gradient is a constant without a graph.
        pairs = [(each, part) for each, part in zip(gradient, parts, strict=True) if each.requires_grad]
        if not pairs:
            return [torch.zeros_like(parameter) for parameter in self._parameters]
        return torch.autograd.grad(
            [each for each, _ in pairs],
            self._parameters,
            [part for _, part in pairs],
            retain_graph=keep,
            allow_unused=True,
            materialize_grads=True,
        )

    def _gradient(self, loss: Callable[[], Tensor], weight: float, create_graph: bool) -> list[Tensor]:
        value = loss()
        if not isinstance(value, Tensor) or value.numel() != 1:
            raise ValueError("loss_fn must return the batch's mean loss, a scalar tensor")
        if not value.requires_grad:
            raise ValueError("the loss has no graph: loss_fn must return it without detach(), item() or no_grad()")
        return list(
            torch.autograd.grad(
                value.reshape(()) * weight,
                self._parameters,
                create_graph=create_graph,
                allow_unused=True,
                materialize_grads=True,
            )
        )

    def _measured_gradient(self, loss: Callable[[], Tensor], weight: float) -> tuple[list[Tensor], int]:
        """The gradient with its graph, and the bytes that this graph saves beside the parameters."""
        own = {parameter.untyped_storage().data_ptr() for parameter in self._parameters}
        saved: dict[int, int] = {}

        def pack(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                saved[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            gradient = self._gradient(loss, weight, create_graph=True)
        return gradient, sum(saved.values())

    def _parts(self, vector: Tensor) -> list[Tensor]:
        pieces = torch.split(vector, [parameter.numel() for parameter in self._parameters])
        return [
            piece.view(parameter.shape).to(parameter.dtype)
            for piece, parameter in zip(pieces, self._parameters, strict=True)
        ]

    def _add(self, total: Tensor, tensors: Sequence[Tensor]) -> None:
        for piece, tensor in zip(torch.split(total, [each.numel() for each in tensors]), tensors, strict=True):
            piece.add_(tensor.detach().reshape(-1))


def _sum(first: list[Tensor] | None, second: list[Tensor]) -> list[Tensor]:
    return second if first is None else [a + b for a, b in zip(first, second, strict=True)]
