"""How many starts of workers may stall before whoever starts them gives up, on this machine and within a job alike."""

from __future__ import annotations

from xsam.runner import lease
from xsam.runner.order import Progress, WorkOrder, settled
from xsam.runner.worker import MAX_DEATHS

MAX_STALLED_STARTS = 3


class WorkersFail(Exception):
    """Workers end without getting on; the message has their last words."""


class Starts:
    """Counts starts of workers since the launch last got on (:class:`~xsam.runner.order.Progress`).

    Args:
        order: what the workers are to do.
    """

    def __init__(self, order: WorkOrder) -> None:
        self._order = order
        self._progress = Progress(order)
        self._stalled = 0

    def allowed(self) -> bool:
        """Whether to start workers once more: not after ``MAX_STALLED_STARTS`` starts without progress.

        Where a run has had its last death, one more worker is needed to write that down.
        """
        if self._progress.made():
            self._stalled = 0
        if self._stalled < MAX_STALLED_STARTS:
            return True
        return self._stalled == MAX_STALLED_STARTS and self._run_to_give_up()

    def count(self) -> None:
        """Workers were started."""
        self._stalled += 1

    def _run_to_give_up(self) -> bool:
        order = self._order
        for run_id in order.folder.started().intersection(order.run_ids):
            _, record, held = lease.current(order.folder.leases(run_id))
            if held or record is None or not lease.died(record, order.launch) or settled(order, run_id):
                continue
            if record.deaths + 1 >= MAX_DEATHS:
                return True
        return False
