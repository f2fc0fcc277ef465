"""What a worker does: take runs one after the other, each under its lease, until none is free.

This module is the entry of the workers' processes and imports no torch: signal handlers must be in place within the
first moments, and the imports are paid only once a run is there to train.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from xsam.grid.diagnostics import Diagnostics
from xsam.grid.grid import Grid
from xsam.grid.spec import RunSpec
from xsam.runner.lease import Lease, LeaseLost
from xsam.runner.stop import Interrupted, StopFlag
from xsam.store.layout import GridFolder

if TYPE_CHECKING:
    from xsam.runner.distributed import Group
    from xsam.store.frames import Finished

MAX_CRASHES = 3


@dataclass(frozen=True)
class WorkOrder:
    """What a launch hands to each of its workers.

    Attributes:
        results: the results folder; ``grid`` names the grid in it, whose ``grid.json`` says what each run is.
        run_ids: the runs to do, in order.
        data_dir: where prepared data are.
        launch: id of the launch.
        created_at: when the launch was made (UTC).
        retry_failed: train runs again that failed before this launch.
        checkpoint_seconds: time between two checkpoints within an epoch.
        device: torch's name of the device, or "auto" for the first GPU where there is one.
        diagnostics: what to measure of the runs while they train; None: nothing.
        devices: processes that do each run together, which are the tasks of one job (the parameter ``devices``).
    """

    results: Path
    grid: str
    run_ids: tuple[str, ...]
    data_dir: Path
    launch: str
    created_at: datetime
    retry_failed: bool = False
    checkpoint_seconds: float = 120.0
    device: str = "auto"
    diagnostics: Diagnostics | None = None
    devices: int = 1

    @property
    def folder(self) -> GridFolder:
        """The grid's folder."""
        return GridFolder(self.results, self.grid)


def settled(order: WorkOrder, run_id: str) -> bool:
    """Whether this launch has nothing left to do for the run: it is done, diverged, or failed and not to be retried."""
    from xsam.store import finished

    result = finished(order.folder, run_id)
    return result is not None and _settles(result, order)


def settled_runs(order: WorkOrder) -> set[str]:
    """Ids of all runs of the grid that are :func:`settled`, from one look at the disk."""
    from xsam.store import finished_runs

    return {run_id for run_id, result in finished_runs(order.folder).items() if _settles(result, order)}


def _settles(result: Finished, order: WorkOrder) -> bool:
    return result.status != "failed" or not order.retry_failed or result.finished_at >= order.created_at


def work(order: WorkOrder, stop: StopFlag | None = None) -> int:
    """Do the order's runs, as far as no other worker does; returns how many this worker finished.

    One run's failure is its own row and never stops the others. The list is gone through again until a whole pass finds
    nothing free, so that a run whose worker died in the meantime is taken over.

    Args:
        stop: a flag that receives the process's signals already; by default SIGTERM and SIGINT set one.
    """
    if stop is None:
        stop = StopFlag()
        stop.install()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # deterministic matrix products; read when CUDA starts
    runs = {run.run_id: run for run in Grid.load(order.folder.grid_json).runs}
    if order.devices == 1:
        return _lead(order, runs, stop)
    from xsam.runner import run as runner
    from xsam.runner.distributed import join

    group = join(order.folder.launches / order.launch, order.devices, stop)
    if group.rank:
        return runner.follow(order, runs, stop, group)
    finished = _lead(order, runs, stop, group)
    group.share(None)  # no further run
    return finished


def _lead(order: WorkOrder, runs: Mapping[str, RunSpec], stop: StopFlag, group: Group | None = None) -> int:
    """Take runs and do them, with the other processes of ``group`` where one is given."""
    finished, progress = 0, True
    while progress and not stop.requested:
        progress = False
        for run_id in order.run_ids:
            if stop.requested:
                break
            if settled(order, run_id):
                continue
            lease = Lease.acquire(order.folder.leases(run_id), order.launch)
            if lease is None:
                continue
            try:
                if settled(order, run_id):
                    continue
                from xsam.runner import run as runner  # imports torch
                from xsam.runner.distributed import ALONE

                if lease.record.crashes >= MAX_CRASHES:
                    runner.record_crashes(runs[run_id], order, lease)
                else:
                    runner.execute(runs[run_id], order, lease, stop, group or ALONE)
                finished, progress = finished + 1, True
            except Interrupted:
                stop.requested = True  # the wish may have been another process's of the group
            except LeaseLost:
                progress = True
            finally:
                lease.release()
    return finished


def utc_now() -> datetime:
    """The time that rows carry."""
    return datetime.now(UTC)
