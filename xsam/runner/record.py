"""What a run leaves for a tracker while it is trained: nothing that training depends on, nor that it could end by."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

from xsam.atomic import write_bytes
from xsam.grid.spec import RunSpec
from xsam.metrics import watched
from xsam.runner import randomness
from xsam.runner.lease import LeaseLost
from xsam.runner.order import WorkOrder
from xsam.runner.stop import Interrupted
from xsam.track import TrackedRun, Tracker, open_tracker

_WHOLE = ("wall_seconds", "parameters")  # of the run, and under no name that an epoch has


class Record:
    """The tracker's record of one run; does nothing where the order names no tracker.

    The first error of the tracker ends the record and not the run: it is said in the log, and left for the front end
    (``GridFolder.untracked``). Random states are the same after every call. Leaving the block closes the
    record of a run that did not come to its end.
    """

    def __init__(self, spec: RunSpec, order: WorkOrder, log: logging.Logger) -> None:
        self._spec, self._order, self._log = spec, order, log
        self._tracker: Tracker | None = None

    def __enter__(self) -> Record:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stopped = kind is None or issubclass(kind, Interrupted | LeaseLost) or not issubclass(kind, Exception)
        self.finish("stopped" if stopped else "failed", {})

    def start(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Begin, or go on after the epochs of ``history``, which the record may have or lack."""
        if self._order.track:
            self._order.folder.untracked(self._spec.run_id).unlink(missing_ok=True)
            self._guarded(self._open)
            for row in history:
                self.epoch(row)

    def epoch(self, row: Mapping[str, Any]) -> None:
        """An epoch's row, without what nobody should see of a run that is not over."""
        self._told(lambda tracker: tracker.log(row["epoch"], watched(row)))

    def finish(self, status: str, row: Mapping[str, Any]) -> None:
        """The run's own row, with what was measured on the test set."""
        found = {name: row[name] for name in row if name.startswith("test_") or name in _WHOLE}
        self._told(lambda tracker: tracker.finish(status, _numbers(found)))
        self._tracker = None

    def _open(self) -> None:
        spec, order = self._spec, self._order
        name = f"{spec.params['model']} {spec.params['dataset']} {spec.optimizer} seed {spec.seed}"
        params = {"task": spec.task, **spec.params, "optimizer": spec.optimizer, "method": spec.method}
        tracker = open_tracker(order.track, order.results, order.grid)
        tracker.start(TrackedRun(spec.run_id, order.grid, name, params))
        self._tracker = tracker

    def _told(self, call: Callable[[Tracker], None]) -> None:
        tracker = self._tracker
        if tracker is not None:
            self._guarded(lambda: call(tracker))

    def _guarded(self, call: Callable[[], None]) -> None:
        try:
            with randomness.kept():
                call()
        except Exception as error:  # whatever it is, it is no run's
            self._tracker = None
            words = " ".join(f"{type(error).__name__}: {error}".split())
            self._log.warning("%s records nothing more of this run: %s", self._order.track, words)
            with contextlib.suppress(OSError):  # the disk may be what is wrong
                write_bytes(self._order.folder.untracked(self._spec.run_id), words.encode())


def _numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """What is a finite number of a row."""
    numbers = {name: float(value) for name, value in row.items() if isinstance(value, int | float)}
    return {name: value for name, value in numbers.items() if math.isfinite(value)}
