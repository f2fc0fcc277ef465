"""The end of what trains a grid: its jobs on a cluster, and its workers on this machine."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

from xsam.grid.spec import RunSpec
from xsam.launch import cluster
from xsam.launch.ledger import ledgers
from xsam.runner import lease
from xsam.runner.process import Process
from xsam.store.layout import GridFolder


def cancelled(folder: GridFolder, launch: str) -> bool:
    """Whether somebody has cancelled this launch on this machine."""
    return _mark(folder, launch).exists()


def cancel_jobs(folder: GridFolder) -> list[str]:
    """Cancel the grid's jobs that wait or run; returns their names. Raises ``ClusterError`` where SLURM refuses."""
    launches = ledgers(folder)
    if not launches:
        return []
    queue = cluster.queue()
    arrays = {array.found(queue).job for launch in launches for array in launch.arrays}
    jobs = [job.element for job in queue.jobs if job.active and job.element.partition("_")[0] in arrays]
    if jobs:
        cluster.cancel(jobs)
    return jobs


def stop_workers(folder: GridFolder, runs: Sequence[RunSpec]) -> int:
    """Ask the workers on this machine, outside of jobs, that hold one of the runs to save and end; returns how many.

    Their front end starts no others in their place.
    """
    here = Process.current()
    pids = set()
    for run in runs:
        _, record, held = lease.current(folder.leases(run.run_id))
        if held and record is not None and not record.holder.job and record.holder.boot == here.boot:
            pids.add(record.holder.pid)
            folder.make_launches()
            _mark(folder, record.launch).touch()
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    return len(pids)


def _mark(folder: GridFolder, launch: str) -> Path:
    return folder.launches / f"{launch}.cancelled"
