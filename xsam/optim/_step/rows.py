"""Several models of one shape as the rows of one tensor, and a method's step on all of them at once.

A method whose update is elementwise but for norms and inner products works on rows as it is written
(:func:`xsam.optim._step.foreach.in_rows`). Widths are such that no vector register holds elements of two rows, and no
element is left over at a row's end: a row's bits are the same whichever other rows there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

import torch
from torch import Tensor, nn

from xsam.optim._step import foreach
from xsam.optim._step.distributed import Replicas
from xsam.optim._step.passes import Passes
from xsam.optim._step.weights import Weights

if TYPE_CHECKING:
    from xsam.optim._step.base import SharpnessAware

_START, _WIDTH = 16, 64  # elements: a cache line, and more than the widest loop over registers takes at a time
OWN = "sharpness_aware"


class Layout:
    """Where each parameter is in a row. What lies between them is zero, and stays zero.

    Example:
        >>> layout = Layout([torch.Size([2, 3]), torch.Size([3])])
        >>> layout.width, [view.shape for view in layout.views(torch.zeros(5, 64))]
        (64, [torch.Size([5, 2, 3]), torch.Size([5, 3])])
    """

    def __init__(self, shapes: Sequence[torch.Size]) -> None:
        self.shapes = tuple(shapes)
        self._strides = [torch.empty(shape, device="meta").stride() for shape in shapes]
        self.offsets: list[int] = []
        self.gaps: list[tuple[int, int]] = []
        end = 0
        for shape in shapes:
            start = -(-end // _START) * _START
            if start > end:
                self.gaps.append((end, start))
            self.offsets.append(start)
            end = start + prod(shape)
        self.width = -(-end // _WIDTH) * _WIDTH
        if self.width > end:
            self.gaps.append((end, self.width))

    def views(self, rows: Tensor) -> list[Tensor]:
        """Each parameter's part of ``rows`` (…×width), of the shape …×its own."""
        start, outer, strides = rows.storage_offset(), rows.shape[:-1], rows.stride()[:-1]
        return [
            rows.as_strided((*outer, *shape), (*strides, *own), start + offset)
            for offset, shape, own in zip(self.offsets, self.shapes, self._strides, strict=True)
        ]

    def clear_gaps(self, rows: Tensor) -> None:
        """Write zeros where no parameter is."""
        for start, end in self.gaps:
            rows[:, start:end] = 0

    def row_of(self, tensors: Iterable[Tensor]) -> Tensor:
        """One row that holds ``tensors``, one for each parameter."""
        given = list(tensors)
        row = torch.zeros(self.width, dtype=given[0].dtype)
        for view, tensor in zip(self.views(row), given, strict=True):
            view.copy_(tensor)
        return row


class Losses(Protocol):
    """One batch for each row, and what the rows' models make of it."""

    def gradient(self, weights: Tensor, out: Tensor) -> Tensor:
        """The loss of each row (n), and its gradient in the same row of ``out`` (n×width, gaps zero)."""

    def losses(self, weights: Tensor) -> Tensor:
        """The loss of each row (n)."""


class RowPasses:
    """The passes of one step of all rows: what a method's update sees as :class:`xsam.optim._step.passes.Passes`.

    Attributes:
        layout: of the rows.
        seeds: torch's initial seed of each row's run.
        first_loss: of the first pass, n; None before it.
        forwards, backwards: passes run so far.
    """

    def __init__(
        self, batch: Losses, parameter: nn.Parameter, weights: Weights, layout: Layout, seeds: Sequence[int]
    ) -> None:
        self.weights, self.layout, self.seeds = weights, layout, seeds
        self.first_loss: Tensor | None = None
        self.forwards = 0
        self.backwards = 0
        self._batch, self._parameter = batch, parameter

    def gradient(self) -> Tensor:
        """Leave the gradients of all rows in ``.grad``; return their losses."""
        self._parameter.grad = None
        out = torch.empty_like(self._parameter, requires_grad=False)
        loss = self._batch.gradient(self._parameter.data, out)
        self._parameter.grad = out
        self.forwards += 1
        self.backwards += 1
        if self.first_loss is None:
            self.first_loss = loss
        return loss

    def losses(self) -> list[float]:
        """The loss of each row, without gradients."""
        self.forwards += 1
        values: list[float] = self._batch.losses(self._parameter.data).tolist()
        return values


_ALONE = Replicas(None, "global")


def step(
    optimizer: SharpnessAware, batch: Losses, parameter: nn.Parameter, layout: Layout, seeds: Sequence[int]
) -> Tensor:
    """One step of every row on its own batch; returns the losses of the first pass, n.

    Args:
        optimizer: a method on a base whose one parameter is ``parameter``.
        batch: the rows' batches.
        parameter: n×width.
        layout: of a row.
        seeds: torch's initial seed of each row's run.
    """
    passes = RowPasses(batch, parameter, optimizer._weights, layout, seeds)
    with torch.no_grad(), foreach.in_rows():
        try:
            loss = optimizer._update_now()(cast(Passes, passes), [parameter])
        except BaseException:
            optimizer._weights.restore()
            raise
        finally:
            optimizer._weights.release()
        optimizer._finish([parameter], _ALONE)
    optimizer._count(passes.forwards, passes.backwards)
    return loss


class InRows:
    """A method on rows some of whose own state each row has for itself: lists of one value for each row.

    Attributes:
        per_row: the names of such entries of its saved state.
    """

    per_row: ClassVar[tuple[str, ...]] = ()


def split(state: Mapping[str, Any], optimizer: SharpnessAware, layout: Layout, row: int, method: str) -> dict[str, Any]:
    """The state of one row's run, as an optimizer of its own (``method``) saves it, out of that of all rows."""
    count = len(layout.shapes)
    (group,) = state["param_groups"]
    own: dict[str, Any] = {}
    for name, value in state[OWN].items():
        if isinstance(optimizer, InRows) and name in optimizer.per_row:
            own[name] = value[row] if isinstance(value, list) else value  # none before the first step
        elif isinstance(value, dict) and all(isinstance(each, Tensor) for each in value.values()):
            own[name] = {index: part for each in value.values() for index, part in enumerate(_parts(each, layout, row))}
        else:
            own[name] = value
    kept = state["state"].get(0, {})
    parts: list[dict[str, Any]] = [{} for _ in range(count if kept else 0)]
    for name, value in kept.items():
        spread = _parts(value, layout, row) if _is_rows(value) else [_copy(value) for _ in range(count)]
        for part, each in zip(parts, spread, strict=True):
            part[name] = each
    return {
        "state": dict(enumerate(parts)),
        "param_groups": [{**group, "params": list(range(count))}],
        OWN: {**own, "method": method},
    }


def join(states: Sequence[Mapping[str, Any]], optimizer: SharpnessAware, layout: Layout) -> dict[str, Any]:
    """The inverse of :func:`split`: the state of all rows."""
    first = states[0]
    own: dict[str, Any] = {}
    for name, value in first[OWN].items():
        values = [state[OWN][name] for state in states]
        if isinstance(optimizer, InRows) and name in optimizer.per_row:
            own[name] = values
        elif isinstance(value, dict) and value and all(isinstance(each, Tensor) for each in value.values()):
            own[name] = {0: torch.stack([layout.row_of(each[index] for index in sorted(each)) for each in values])}
        else:
            own[name] = value
    kept: dict[str, Any] = {}
    for name, value in first["state"].get(0, {}).items():
        if isinstance(value, Tensor) and value.dim():
            rows = ([state["state"][index][name] for index in sorted(state["state"])] for state in states)
            kept[name] = torch.stack([layout.row_of(each) for each in rows])
        else:
            kept[name] = _copy(value)
    (group,) = first["param_groups"]
    return {
        "state": {0: kept} if kept else {},
        "param_groups": [{**group, "params": [0]}],
        OWN: {**own, "method": type(optimizer).__name__},
    }


def _is_rows(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dim() == 2


def _parts(rows: Tensor, layout: Layout, row: int) -> list[Tensor]:
    return [view.clone() for view in layout.views(rows[row])]


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value
