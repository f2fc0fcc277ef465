"""Jobs on a SLURM cluster: arrays of packed runs, submitted through submitit and written into a ledger."""

from __future__ import annotations

import contextlib
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import submitit
from submitit.core.utils import DelayedSubmission, FailedSubmissionError, JobPaths, UncompletedJobError

from xsam.atomic import naming
from xsam.grid.spec import RunSpec
from xsam.launch import cluster, squeue, status
from xsam.launch.cluster import ClusterError
from xsam.launch.ledger import Array, Ledger, Place, ledgers, places
from xsam.launch.profile import Profile
from xsam.launch.slurm_worker import Element
from xsam.launch.squeue import Queue
from xsam.launch.supervise import look
from xsam.runner.order import WorkOrder, settled
from xsam.runner.stop import StopFlag
from xsam.store.layout import GridFolder

POLL_SECONDS = 1.0
SETTLE_SECONDS = 20.0  # within which the scheduler has looked at new jobs
MANY_TIMEOUTS = 1_000_000  # submitit counts signals as timeouts and gives up after three
# Python takes a second to install its handlers, and until then this signal would end the job.
SHIELD = "trap '' USR2; exec \"$@\""


def uncovered(folder: GridFolder, run_ids: Sequence[str]) -> tuple[str, ...]:
    """Those of the runs that no job will do: none that waits or runs has them, and no worker elsewhere holds them."""
    launches = ledgers(folder)
    queue = cluster.queue()
    known = places(launches, queue)
    started = folder.started()
    return tuple(
        run_id
        for run_id in run_ids
        if not any(_will_do(place, run_id, queue) for place in known.get(run_id, ()))
        and not (run_id in started and status.held(folder, run_id))
    )


def _will_do(place: Place, run_id: str, queue: Queue) -> bool:
    job = place.job(queue)
    return job is not None and job.active and not settled(place.order, run_id)


def submit(order: WorkOrder, runs: Sequence[RunSpec], profile: Profile) -> list[str]:
    """Submit the order's runs, which are among ``runs``, as job arrays; returns the numbers of the arrays.

    Raises:
        ClusterError: the cluster refuses, or is out of reach for long. Arrays that it took before stay in the queue;
            the message says which.
    """
    cluster.check(profile, order.devices)
    size = profile.runs_per_job
    shares = [order.run_ids[start : start + size] for start in range(0, len(order.run_ids), size)]
    most = profile.max_array_size or cluster.max_array_size()
    arrays = [
        Array(f"xsam-{order.launch}-{number}", None, tuple(shares[start : start + most]))
        for number, start in enumerate(range(0, len(shares), most))
    ]
    order.write_snapshot(runs)
    ledger = Ledger(order, profile.name, tuple(arrays))
    ledger.write()
    for number, array in enumerate(arrays):
        try:
            arrays[number] = replace(array, job=_submit(order, profile, array))
        except ClusterError as error:
            raise ClusterError(f"{error}{_cut_short(order, arrays)}") from None
        ledger = replace(ledger, arrays=tuple(arrays))
        ledger.write()
    squeue.forget()
    jobs = [array.job for array in arrays if array.job is not None]
    _cancel_unstartable(profile, jobs)
    return jobs


def _cut_short(order: WorkOrder, arrays: Sequence[Array]) -> str:
    """What is in the queue though the submission failed."""
    taken = [array for array in arrays if array.job is not None]
    if not taken:
        return ""
    count = sum(len(share) for array in taken for share in array.shares)
    jobs = f"job{'s' if len(taken) > 1 else ''} {', '.join(str(array.job) for array in taken)}"
    return f"; {count} of {len(order.run_ids)} runs are in {jobs}, and the same command submits the rest"


def _submit(order: WorkOrder, profile: Profile, array: Array) -> str:
    """Submit one array; returns its number.

    A failure that passes by itself is tried again, after a look whether the cluster took the array all the same: the
    answer of a busy controller may come too late for ``sbatch``.
    """
    folder = order.place
    python = f"{profile.container} bash -c {shlex.quote(SHIELD)} worker {shlex.quote(sys.executable)}".strip()
    executor = submitit.SlurmExecutor(folder=folder, max_num_timeout=MANY_TIMEOUTS, python=python)
    executor.update_parameters(
        job_name=array.name,
        time=profile.minutes,
        signal_delay_s=profile.warn_seconds,
        array_parallelism=profile.parallelism or len(array.shares),
        setup=list(profile.setup),
        # Since SLURM 22.05 a step gets one CPU unless it asks itself.
        srun_args=[f"--cpus-per-task={profile.cpus}"],
        additional_parameters=profile.sbatch(order.devices),
    )
    element = Element(profile.members, profile.scratch, profile.copy_data, profile.offline)
    work = [order.part(share) for share in array.shares]

    def adopt() -> str | None:
        job = _taken_all_the_same(array)
        for index, part in enumerate(work if job is not None else ()):
            _leave_for(f"{job}" if len(work) == 1 else f"{job}_{index}", folder, profile, element, part)
        return job

    def once() -> str:
        if tried and (job := adopt()) is not None:
            return job
        tried.append(True)
        try:
            with naming(folder):  # submitit writes its files first
                jobs = executor.map_array(element, work)
        except (FailedSubmissionError, UncompletedJobError) as error:
            for path in folder.glob("*.pkl"):
                if "_" not in path.name:  # not yet a job's
                    path.unlink()
            raise ClusterError(f"the cluster refuses: {_said(error)}") from None
        return str(jobs[0].job_id).partition("_")[0]

    tried: list[bool] = []
    try:
        return cluster.patiently(once)
    except ClusterError as error:
        if cluster.passing(str(error)) and (job := adopt()) is not None:
            return job
        raise


def _said(error: Exception) -> str:
    """What ``sbatch`` said, of the report that submitit makes of it."""
    lines = str(error).strip().splitlines()
    return next((line for line in reversed(lines) if line.startswith("sbatch:")), lines[-1])


def _taken_all_the_same(array: Array) -> str | None:
    """The number of an array whose submission seemed to fail; None where the queue does not have it."""
    squeue.forget()
    return array.found(cluster.queue()).job


def _leave_for(job: str, folder: Path, profile: Profile, element: Element, part: WorkOrder) -> None:
    """Leave the job's work where it looks for it, as submitit does after a submission (jobs wait a minute for it)."""
    work = DelayedSubmission(element, part)
    work.set_timeout(profile.minutes, MANY_TIMEOUTS)
    work.dump(JobPaths(folder, job).submitted_pickle)


def _cancel_unstartable(profile: Profile, jobs: Sequence[str]) -> None:
    """Take back what the scheduler says it will never start, as soon as it has looked."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < deadline:
        mine = [job for job in cluster.queue().jobs if job.element.partition("_")[0] in jobs]
        reasons = {job.reason for job in mine if job.state == "PENDING"}
        bad = sorted(reason for reason in reasons if cluster.hopeless(reason))
        if bad:
            cluster.cancel(jobs)
            raise ClusterError(
                f"jobs of the profile {profile.name!r} would wait for ever ({', '.join(bad)}); they were cancelled"
            )
        if any(job.state != "PENDING" for job in mine) or reasons - {"None"} or not mine:
            return
        time.sleep(POLL_SECONDS)


def watch(
    order: WorkOrder, runs: Sequence[RunSpec], stop: StopFlag, show: Callable[[Sequence[status.RunStatus]], None]
) -> list[status.RunStatus]:
    """Show how the runs go on until every one is settled, no job is left that would do one, or a stop is requested.

    Jobs need none of this, and a stop does not reach them.
    """
    known: dict[str, status.RunStatus] = {}
    while True:
        states = look(order, runs, known)
        show(states)
        open_runs = [one.run.run_id for one in states if one.run.run_id not in known]
        if stop.requested or not open_runs:
            return states
        with contextlib.suppress(ClusterError):  # a controller that restarts comes back
            if len(uncovered(order.folder, open_runs)) == len(open_runs):
                return look(order, runs, known)
        time.sleep(POLL_SECONDS)
