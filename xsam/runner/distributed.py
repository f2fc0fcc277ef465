"""The processes that train one run together: who they are, how they meet, and what they tell each other."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
import traceback
from datetime import timedelta
from pathlib import Path
from typing import Any

import submitit
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # of C++, which torch does not list

from xsam.atomic import write_json
from xsam.runner.stop import StopFlag

MEETING_SECONDS = 600.0
REPORT_SECONDS = 5.0
# A dead process is noticed by its closed connections. This is for work that rank 0 does alone, such as an evaluation.
WAIT = timedelta(hours=24)


class ProcessGroup:
    """The processes of one run, in lockstep; every method is called by all of them at the same point.

    Args:
        rank: this process's number; rank 0 leads: it holds leases, evaluates, and writes.
        size: how many they are; alone, every method is trivial.
        local_rank: its number among those on its host.
        store: what they met in.
    """

    def __init__(self, rank: int = 0, size: int = 1, local_rank: int = 0, store: TCPStore | None = None) -> None:
        self.rank, self.size, self.local_rank = rank, size, local_rank
        self._store = store

    def agree(self, *wishes: bool) -> tuple[bool, ...]:
        """For each wish whether any process has it. On the CPU, so that no device is waited for."""
        if self.size == 1:
            return wishes
        votes = torch.tensor(wishes, dtype=torch.int32)
        dist.all_reduce(votes)
        return tuple(map(bool, votes.tolist()))

    def mean(self, value: Tensor) -> Tensor:
        """The mean of the processes' tensors, on the device."""
        if self.size > 1:
            dist.all_reduce(value)
            value /= self.size
        return value

    def gather(self, value: Any) -> list[Any]:
        """Every process's value, by rank; on rank 0 alone, empty elsewhere."""
        if self.size == 1:
            return [value]
        values = [None] * self.size if self.rank == 0 else None
        dist.gather_object(value, values)
        return values or []

    def share(self, value: Any = None) -> Any:
        """Rank 0's value, on all processes."""
        if self.size == 1:
            return value
        holder = [value]
        dist.broadcast_object_list(holder)
        return holder[0]

    def report(self, trace: str) -> None:
        """Leave word, on any rank but 0, of the exception that ends this process, and wait until rank 0 has it."""
        assert self._store is not None
        with contextlib.suppress(dist.DistError):  # rank 0 is gone itself
            self._store.set("fault", trace)
            self._store.wait(["heard"], timedelta(seconds=2 * REPORT_SECONDS))

    def cause(self, error: Exception) -> str | None:
        """The traceback of what really went wrong when rank 0 met ``error``; None where a process died without a word.

        A process that fails breaks the others' connections; its own exception is then the cause.
        """
        if self._store is not None:
            with contextlib.suppress(dist.DistError):
                self._store.wait(["fault"], timedelta(seconds=REPORT_SECONDS))
                trace = str(self._store.get("fault"), "utf-8")
                self._store.set("heard", "")
                return trace
            if isinstance(error, dist.DistError) or "/gloo/" in str(error):
                return None
        return "".join(traceback.format_exception(error))


ALONE = ProcessGroup()


def join(folder: Path, size: int, stop: StopFlag) -> ProcessGroup:
    """Meet the other processes of this submitit job; returns when all ``size`` are there.

    Args:
        folder: of the launch, on a file system that all hosts share; rank 0 leaves its address there.
        size: processes of one run.
        stop: a stop that is requested while waiting ends the process.

    Raises:
        RuntimeError: this is no job of ``size`` tasks.
        TimeoutError: rank 0 did not come within ten minutes.
    """
    job = submitit.JobEnvironment()
    if job.num_tasks != size:
        raise RuntimeError(f"a run on {size} devices needs a job of {size} tasks, and this one has {job.num_tasks}")
    start = os.environ.get("SLURM_RESTART_COUNT", "0")
    meeting = folder / f"meeting-{job.job_id}-{start}.json"
    if job.global_rank == 0:
        host = "127.0.0.1" if job.num_nodes == 1 else socket.gethostname()
        store = TCPStore(host, 0, size, is_master=True, wait_for_workers=False)
        write_json(meeting, {"host": host, "port": store.port}, durable=False)
    else:
        address = _address(meeting, stop)
        store = TCPStore(address["host"], address["port"], size, is_master=False)
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(job.local_rank % torch.cuda.device_count())
        backend = "cpu:gloo,cuda:nccl"
    dist.init_process_group(backend, store=store, rank=job.global_rank, world_size=size, timeout=WAIT)
    return ProcessGroup(job.global_rank, size, job.local_rank, store)


def _address(meeting: Path, stop: StopFlag) -> dict[str, Any]:
    deadline = time.monotonic() + MEETING_SECONDS
    while not meeting.exists():
        if stop.requested:
            raise SystemExit(0)
        if time.monotonic() > deadline:
            raise TimeoutError(f"{meeting}: rank 0 of this job did not come within {MEETING_SECONDS:g} seconds")
        time.sleep(0.05)
    content: dict[str, Any] = json.loads(meeting.read_text(encoding="utf-8"))
    return content
