"""Who a process is, and whether it still runs: what leases are signed with."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from xsam.runner import jobs
from xsam.runner.jobs import Job


@dataclass(frozen=True)
class Process:
    """One start of one process, told apart from any later process with the same pid.

    Attributes:
        host: the host's name.
        boot: the kernel's boot id and pid namespace: pids and start times compare only where these are equal.
        pid: process id.
        started: start time in clock ticks since boot; 0 where the system does not tell.
        launcher, job, restart: the launcher's job that it is in (:class:`xsam.runner.jobs.Job`).
    """

    host: str
    boot: str
    pid: int
    started: int
    launcher: str = ""
    job: str = ""
    restart: int = 0

    @classmethod
    def current(cls) -> Process:
        """This process."""
        pid, job = os.getpid(), jobs.own_job()
        return cls(
            host=socket.gethostname(),
            boot=_boot(),
            pid=pid,
            started=_start_time(pid) or 0,
            launcher=job.launcher,
            job=job.number,
            restart=job.restart,
        )

    @property
    def job_start(self) -> Job:
        """The start of the job that the process belongs to; equal for all processes outside of jobs."""
        return Job(self.launcher, self.job, self.restart)

    def alive(self) -> bool | None:
        """Whether this process still runs; None where that cannot be told from here (another host or container).

        A process of a job elsewhere runs as long as the job's launcher says that this start of it does.
        """
        here = Process.current()
        if self.job and self.job_start[:2] == here.job_start[:2] and self.restart < here.restart:
            return False  # we are the same job, started again: that start is over
        if self.host != here.host or self.boot != here.boot or not self.started:
            return jobs.alive(self.job_start) if self.job else None
        return _start_time(self.pid) == self.started


@cache
def _boot() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # no /proc: only the heartbeat can tell
        return ""


def parent_of(pid: int) -> int | None:
    """The parent of a running process of this host; None where that cannot be told."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None


def _start_time(pid: int) -> int | None:
    """Start time of a running process in clock ticks since boot; None for one that is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the command's name, in brackets, may hold anything
    return None if fields[0] in "ZX" else int(fields[19])
