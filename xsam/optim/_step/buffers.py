"""Keeping a model's buffers as one plain forward leaves them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from xsam.optim._step.foreach import Backup


class Buffers:
    """The buffers of a model as they were at the start of a step, and as its first pass left them.

    Buffers are put back in place; one that a module replaced by another tensor, the usual thing in hand-written
    layers, is replaced again. The memory of the copies is kept from step to step.
    """

    def __init__(self) -> None:
        self._start = _Snapshot()
        self._kept = _Snapshot()

    def start(self, model: nn.Module | None) -> None:
        """Copy all buffers of ``model``: the state that :meth:`roll_back` returns to."""
        self._start.take([] if model is None else [module._buffers for module in model.modules() if module._buffers])

    def keep(self) -> None:
        """Copy the buffers as they are now: the state that :meth:`restore` returns to."""
        self._kept.take(self._start.owners)

    def restore(self) -> None:
        """Put the buffers back to where they were at :meth:`keep`."""
        self._kept.write()

    def roll_back(self) -> None:
        """Put the buffers back to where they were at :meth:`start`."""
        self._start.write()


class _Snapshot:
    def __init__(self) -> None:
        self.owners: Sequence[dict[str, Tensor | None]] = ()
        self._held: list[dict[str, Tensor | None]] = []
        self._backup = Backup()

    def take(self, owners: Sequence[dict[str, Tensor | None]]) -> None:
        self.owners = owners
        self._held = [owner.copy() for owner in owners]
        self._backup.save(
            [buffer for held in self._held for buffer in held.values() if buffer is not None and _writable(buffer)]
        )

    def write(self) -> None:
        for owner, held in zip(self.owners, self._held, strict=True):
            owner.update(held)
        self._backup.restore()


def _writable(buffer: Tensor) -> bool:
    # An expanded tensor cannot be written in place, so no forward changes it either.
    return buffer.is_contiguous() or all(
        stride > 0 or size <= 1 for stride, size in zip(buffer.stride(), buffer.shape, strict=True)
    )
