"""What SLURM's queue holds: one call of ``squeue``, shared by everything in this process that asks within moments.

Its columns and not its JSON: every cluster's ``squeue`` prints these, while ``--json`` needs a plug-in of the site, has
another shape in each release, and tells a hundred fields of every job.
"""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from functools import cached_property

FRESH_SECONDS = 5.0  # SLURM's controllers serve a whole cluster: no process asks more often
TIMEOUT_SECONDS = 30.0
_FIELDS = ("ArrayJobID", "ArrayTaskID", "JobID", "State", "RestartCnt", "Reason", "Name")
_WIDTH = 80
# Everything else has ended: SLURM keeps such jobs for a while (MinJobAge), but will not start them again.
ACTIVE = frozenset(
    (
        "PENDING",
        "RUNNING",
        "SUSPENDED",
        "COMPLETING",
        "CONFIGURING",
        "RESIZING",
        "SIGNALING",
        "STAGE_OUT",
        "STOPPED",
        "REQUEUED",
        "REQUEUE_FED",
        "REQUEUE_HOLD",
        "SPECIAL_EXIT",
        "RESV_DEL_HOLD",
    )
)


@dataclass(frozen=True)
class Job:
    """One job, or one element of an array.

    Attributes:
        element: its name, such as ``"17_4"``; ``"17"`` where it is no array.
        number: SLURM's own number of a started job (``SLURM_JOB_ID``); elements that wait share their array's.
        state: SLURM's word, such as ``"PENDING"``.
        restarts: how often SLURM has started it again.
        reason: why it waits.
        name: the name that it was submitted under.
    """

    element: str
    number: str
    state: str
    restarts: int
    reason: str
    name: str

    @property
    def active(self) -> bool:
        """Whether it waits, runs, or will run again."""
        return self.state in ACTIVE


@dataclass(frozen=True)
class Queue:
    """The user's jobs at one moment; those that ended a short while ago are among them."""

    jobs: tuple[Job, ...]

    @cached_property
    def by_element(self) -> dict[str, Job]:
        """Element → job."""
        return {job.element: job for job in self.jobs}

    @cached_property
    def by_number(self) -> dict[str, Job]:
        """SLURM's number → job, of those that have one of their own."""
        return {
            job.number: job
            for job in self.jobs
            if job.state != "PENDING" or job.element.partition("_")[0] != job.number or "_" not in job.element
        }

    @cached_property
    def by_name(self) -> dict[str, Job]:
        """Name → one of the jobs that carry it."""
        return {job.name: job for job in self.jobs}


_latest: tuple[float, Queue | None] | None = None


def queue() -> Queue | None:
    """The queue, at most ``FRESH_SECONDS`` old; None where SLURM cannot be asked from here."""
    global _latest
    now = time.monotonic()
    if _latest is None or now - _latest[0] > FRESH_SECONDS:
        _latest = (now, _ask())
    return _latest[1]


def forget() -> None:
    """Ask anew next time: something was submitted or cancelled."""
    global _latest
    _latest = None


def start_alive(number: str, restarts: int) -> bool | None:
    """Whether the start number ``restarts`` of a job still runs; None where SLURM cannot tell.

    A job that SLURM does not know may have ended long ago, or be another cluster's: neither yes nor no. A queue that is
    some seconds old may not yet have seen a start.
    """
    known = queue()
    job = known.by_number.get(number) if known is not None else None
    if job is None or job.restarts < restarts:
        return None
    if job.restarts > restarts or not job.active:
        return False
    return True if job.state == "RUNNING" else None


def _ask() -> Queue | None:
    fields = ",".join(f"{name}:{_WIDTH}" for name in _FIELDS)
    command = ["squeue", "--noheader", "--array", "--states=all", f"--user={os.getuid()}", f"--Format={fields}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return parse(done.stdout)


def parse(text: str) -> Queue:
    """The queue in ``squeue``'s output, whose columns are ``_WIDTH`` wide.

    >>> columns = ("17", "4", "23", "RUNNING", "0", "None", "xsam")
    >>> parse("".join(f"{column:{_WIDTH}}" for column in columns)).jobs[0].element
    '17_4'
    """
    jobs = []
    for line in text.splitlines():
        cells = [line[start : start + _WIDTH].strip() for start in range(0, _WIDTH * len(_FIELDS), _WIDTH)]
        array, task, number, state, restarts, reason, name = cells
        element = f"{array}_{task}" if task.isdigit() else number
        jobs.append(Job(element, number, state, int(restarts), reason, name))
    return Queue(tuple(jobs))
