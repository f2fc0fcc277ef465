"""What a worker does: take runs one after the other, each under its lease, until none is free.

This module is the entry of the workers' processes and imports no torch: signal handlers must be in place within the
first moments, and the imports are paid only once a run is there to train. They come before the lease is taken, so that
a process that cannot train takes no run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from xsam.atomic import in_words, is_full
from xsam.grid.spec import RunSpec
from xsam.plugins import PluginError
from xsam.runner import lease as leases
from xsam.runner import numerics
from xsam.runner.lease import Lease, LeaseLost
from xsam.runner.order import WorkOrder, mark_of, settled
from xsam.runner.stop import Interrupted, StopFlag
from xsam.tasks import DataMissing
from xsam.tasks.own import OwnDataChanged

if TYPE_CHECKING:
    from xsam.runner.distributed import ProcessGroup

MAX_DEATHS = 3
TOGETHER = 8  # runs of a cell that a worker trains at a time, where seeds are vectorised


def work(order: WorkOrder, stop: StopFlag | None = None) -> int:
    """Do the order's runs, as far as no other worker does; returns how many this worker finished.

    One run's failure is its own row and never stops the others. The list is gone through again until a whole pass finds
    nothing free, so that a run whose worker died in the meantime is taken over. A process in which a run failed, though
    it may be the process that is to blame, ends early, and leaves that run to a fresh one.

    Args:
        stop: a flag that receives the process's signals already; by default SIGTERM and SIGINT set one.

    Raises:
        ValueError: the launch's snapshot is gone or damaged.
        SystemExit: the disk is full, which is no run's fault: nothing is written for the run in hand.
    """
    try:
        return _work(order, stop)
    except OSError as error:
        if is_full(error):
            raise SystemExit(f"xsam-bench: {in_words(error)}") from None
        raise


def _work(order: WorkOrder, stop: StopFlag | None) -> int:
    if stop is None:
        stop = StopFlag()
        stop.install()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # deterministic matrix products; read when CUDA starts
    runs = order.snapshot()
    for setting in {str(runs[run_id].params.get("numerics", "native")) for run_id in order.run_ids}:
        numerics.enter(setting)  # before anything here loads torch, as a plug-in may
    try:
        order.load_plugins()
        order.enter_data(runs[run_id] for run_id in order.run_ids)
    except (PluginError, DataMissing, OwnDataChanged) as error:
        raise SystemExit(f"xsam-bench: {error}") from None
    if order.devices == 1:
        return _lead(order, runs, stop)
    from xsam.runner import run as runner
    from xsam.runner.distributed import join

    group = join(order.place, order.devices, stop)
    if group.rank:
        return runner.follow(order, runs, stop, group)
    finished = _lead(order, runs, stop, group)
    group.share(None)  # no further run
    return finished


def _lead(order: WorkOrder, runs: Mapping[str, RunSpec], stop: StopFlag, group: ProcessGroup | None = None) -> int:
    """Take runs and do them, with the other processes of ``group`` where one is given."""
    finished, warm, trained, progress = 0, False, False, True
    while progress and not stop.requested:
        progress = False
        for run_id in _free(order, fresh=not trained):
            from xsam.runner import run as runner  # imports torch
            from xsam.runner.distributed import ALONE

            if not warm:
                runner.warm_up(order.device)
                warm = True
            if stop.requested:
                break
            folder = order.folder
            lease = Lease.acquire(folder.leases(run_id), order.launch, mark_of(folder.checkpoint(run_id)))
            if lease is None:
                continue
            fit = True
            company: dict[str, Lease] = {}
            try:
                if settled(order, run_id):
                    continue
                if trained and lease.record.suspect:  # of a worker that failed after our look
                    lease.suspect = True
                    continue
                if lease.record.deaths >= MAX_DEATHS:
                    runner.record_deaths(runs[run_id], order, lease)
                elif runs[run_id].config.training.vectorised:
                    from xsam.runner.together import run as together

                    company = _company(order, runs, run_id, lease)
                    fit = together.execute({run_id: lease, **company}, runs, order, stop, fresh=not trained)
                    trained = True
                else:
                    fit = runner.execute(runs[run_id], order, lease, stop, group or ALONE, fresh=not trained)
                    trained = True
                finished += sum(not each.suspect for each in (lease, *company.values()))
                progress = True
            except Interrupted:
                stop.requested = True  # the wish may have been another process's of the group
            except LeaseLost:
                trained = progress = True
            finally:
                for each in (lease, *company.values()):
                    each.release()
            if not fit:
                return finished
    return finished


def _company(order: WorkOrder, runs: Mapping[str, RunSpec], run_id: str, lease: Lease) -> dict[str, Lease]:
    """Free runs that differ from this one in their seed alone, each taken under its lease, to be trained with it.

    A run that failed or killed its workers before is alone, so that it takes no other with it.
    """
    if lease.record.suspect or lease.record.deaths > 1:
        return {}
    cell, taken = runs[run_id].cell, dict[str, Lease]()
    folder = order.folder
    for other in order.run_ids:
        if len(taken) + 1 >= TOGETHER:
            break
        if other == run_id or runs[other].cell != cell or settled(order, other):
            continue
        _, record, held = leases.current(folder.leases(other))
        if held or (record is not None and (record.suspect or record.deaths)):
            continue
        found = Lease.acquire(folder.leases(other), order.launch, mark_of(folder.checkpoint(other)))
        if found is None:
            continue
        if settled(order, other) or found.record.suspect:
            found.suspect = found.record.suspect
            found.release()
            continue
        taken[other] = found
    return taken


def _free(order: WorkOrder, fresh: bool) -> Iterator[str]:
    """Runs that nobody holds and that have to be done, in the order in which this process should try them.

    A fresh process begins with a run that failed in another and may not be to blame; others leave it alone. A run that
    a worker died of comes last, so that it cannot hold up the others.
    """
    touched = order.folder.started()
    suspects: list[str] = []
    others: list[str] = []
    deadly: list[str] = []
    for run_id in order.run_ids:
        record, held = None, False
        if run_id in touched:
            _, record, held = leases.current(order.folder.leases(run_id))
        if held or (record is not None and record.suspect and not fresh):
            continue
        kind = suspects if record is not None and record.suspect else others
        (deadly if leases.died(record, order.launch) else kind).append(run_id)
    for run_id in (*suspects, *others, *deadly):
        if not settled(order, run_id):
            yield run_id
