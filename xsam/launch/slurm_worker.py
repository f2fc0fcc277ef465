"""What one job of a cluster does: train its share of runs, some at a time, each in a process of its own.

This is the entry of submitit's jobs, and imports no torch: a signal that comes before its handler is in place ends the
job, and only the members, which are processes of their own, have anything to save.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from submitit.helpers import DelayedSubmission

from xsam.atomic import write_bytes
from xsam.launch import cluster
from xsam.launch.starts import MAX_STALLED_STARTS, Starts, WorkersFail
from xsam.launch.status import held
from xsam.runner.order import Progress, WorkOrder, settled
from xsam.runner.stop import StopFlag
from xsam.runner.worker import work

POLL_SECONDS = 0.2
LOOK_SECONDS = 10.0  # between two looks at the share while no member ends
SIGNALS = (signal.SIGTERM, signal.SIGUSR2)  # what SLURM warns with: before the time limit, and before preemption
CACHES = {"TMPDIR": "tmp", "TORCHINDUCTOR_CACHE_DIR": "inductor", "TRITON_CACHE_DIR": "triton"}
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "WANDB_MODE": "offline"}


@dataclass(frozen=True)
class Element:
    """The function that submitit runs in a job.

    Attributes:
        members: how many runs are trained at the same time; where the job has GPUs, each has one of them for itself.
        scratch: a folder on the node for temporary files; its shell variables are expanded there.
        copy_data: copy the prepared data to scratch first.
        offline: there is no network.
    """

    members: int
    scratch: str | None = None
    copy_data: bool = False
    offline: bool = False

    def __call__(self, order: WorkOrder) -> None:
        """Train the order's runs; returns when they are settled, or when they are saved after a signal."""
        stop = StopFlag(patient=True)
        stop.install(signal.SIGUSR2)
        progress = Progress(order)
        if self.offline:
            os.environ.update(OFFLINE)
        with self._on_the_node(order) as local:
            if order.devices > 1:  # the job's tasks are the processes of each run
                work(local, stop)
            else:
                _Pack(local, self.members).run(stop)
        leads = os.environ.get("SLURM_PROCID", "0") == "0"
        if stop.requested and leads and not all(settled(order, run_id) for run_id in order.run_ids):
            _requeue(order, progress.made())

    def checkpoint(self, order: WorkOrder) -> DelayedSubmission:
        """What submitit submits again where a signal came before ours was in place: the same, progress is on disk."""
        return DelayedSubmission(self, order)

    @contextlib.contextmanager
    def _on_the_node(self, order: WorkOrder) -> Iterator[WorkOrder]:
        if self.scratch is None:
            yield order
            return
        parent = Path(os.path.expandvars(self.scratch))
        if "$" in str(parent):
            raise ValueError(f"scratch {self.scratch}: a variable in it is not set on {os.uname().nodename}")
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="xsam-", dir=parent))
        try:
            for name, part in CACHES.items():
                (folder / part).mkdir()
                os.environ[name] = str(folder / part)
            if self.copy_data and order.data_dir.exists():
                shutil.copytree(order.data_dir, folder / "data")
                order = replace(order, data_dir=folder / "data")
            yield order
        finally:
            shutil.rmtree(folder, ignore_errors=True)


class _Pack:
    """The members of one job: processes that take runs of its share until none is left."""

    def __init__(self, order: WorkOrder, members: int) -> None:
        self.order = order
        self.members = members
        self._starts = Starts(order)

    def run(self, stop: StopFlag) -> None:
        """Keep the members at work until all have ended; one that died is replaced, and its run resumed."""
        live: dict[int, subprocess.Popen[bytes]] = {}
        told, look_at, status = False, 0.0, 0
        try:
            while True:
                if stop.requested and not told:
                    told = True
                    _terminate(live)
                for slot, member in list(live.items()):
                    if member.poll() is not None:
                        del live[slot]
                        status, look_at = member.returncode, 0.0
                if not stop.requested and time.monotonic() >= look_at:
                    look_at = time.monotonic() + LOOK_SECONDS
                    wanted = min(self.members - len(live), self._for_others(len(live)))
                    if wanted > 0 and self._starts.allowed():
                        self._starts.count()
                        free = [slot for slot in range(self.members) if slot not in live]
                        live.update({slot: self._start(slot) for slot in free[:wanted]})
                    elif wanted > 0 and not live:
                        message = f"workers end with status {status} without getting on; their errors are above"
                        raise WorkersFail(message)
                if not live:
                    return
                time.sleep(POLL_SECONDS)
        finally:
            _terminate(live)
            for member in live.values():
                member.wait()

    def _start(self, slot: int) -> subprocess.Popen[bytes]:
        environment = dict(os.environ)
        devices = [name for name in environment.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        if devices:
            environment["CUDA_VISIBLE_DEVICES"] = devices[slot % len(devices)]
        # Blocked signals stay so in the new process, until it is ready for them.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            member = subprocess.Popen(
                [sys.executable, "-m", "xsam.launch.slurm_worker"], stdin=subprocess.PIPE, env=environment
            )
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        assert member.stdin is not None
        with contextlib.suppress(BrokenPipeError), member.stdin:  # it died at once: its exit status tells
            pickle.dump(self.order, member.stdin)
        return member

    def _for_others(self, members: int) -> int:
        """How many runs are left that none of ``members`` living members holds or is about to take."""
        open_runs = [run_id for run_id in self.order.run_ids if not settled(self.order, run_id)]
        busy = sum(held(self.order.folder, run_id) for run_id in open_runs)
        return len(open_runs) - busy - max(0, members - busy)


def _terminate(live: dict[int, subprocess.Popen[bytes]]) -> None:
    for member in live.values():
        member.terminate()


def _requeue(order: WorkOrder, got_on: bool) -> None:
    """Put this job back into the queue, under its id, unless SLURM itself has ended it (cancelled, or put back).

    Not for ever: a time limit that is too short for any run to get further is said after three starts.
    """
    job = os.environ["SLURM_JOB_ID"]
    path = order.place / f"starts-without-progress-{job}"
    stalled = 0 if got_on else _number_in(path) + 1
    if stalled >= MAX_STALLED_STARTS:
        raise WorkersFail(
            f"{stalled} starts of this job ended before any of its runs got further; it needs a longer time limit"
        )
    write_bytes(path, str(stalled).encode())
    if cluster.requeue(job):
        sys.exit("saved, and put back into the queue")


def _number_in(path: Path) -> int:
    try:
        return int(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none yet, or damaged
        return 0


def main() -> None:
    """One member: the order comes through standard input."""
    order: WorkOrder = pickle.load(sys.stdin.buffer)
    stop = StopFlag(patient=True)
    stop.install(signal.SIGUSR2)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    work(order, stop)


if __name__ == "__main__":
    main()
