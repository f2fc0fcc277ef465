"""Workers on this machine, started through submitit so that they outlive the front end."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import submitit

from xsam.runner import lease
from xsam.runner.work import WorkOrder, work

FOREVER_MINUTES = 60 * 24 * 365 * 10  # submitit ends a local job after two minutes unless told otherwise


class LocalLauncher:
    """Starts worker processes here and can stop them. A worker is ``order.devices`` processes.

    Args:
        order: what every worker is to do.
        gpus: the GPUs that workers may use; each new process gets the next one.
    """

    def __init__(self, order: WorkOrder, gpus: Sequence[int] = ()) -> None:
        self.order = order
        self.gpus = tuple(gpus)
        self._jobs: list[submitit.Job[int]] = []
        self._folder = order.folder.launches / order.launch

    def start(self, count: int) -> None:
        """Start ``count`` more workers."""
        self.order.folder.make_launches(self.order.launch)
        for _ in range(count):
            executor = submitit.LocalExecutor(folder=self._folder)
            executor.update_parameters(
                timeout_min=FOREVER_MINUTES, name="xsam-bench", tasks_per_node=self.order.devices, **self._gpus()
            )
            with _detached():
                self._jobs.append(executor.submit(work, self.order))

    def _gpus(self) -> dict[str, object]:
        if not self.gpus:
            return {"gpus_per_node": 0}
        count = min(self.order.devices, len(self.gpus))
        first = len(self._jobs) * count
        chosen = tuple(self.gpus[(first + each) % len(self.gpus)] for each in range(count))
        return {"gpus_per_node": count, "visible_gpus": chosen}

    def live(self) -> int:
        """How many workers still run."""
        return sum(not job.done() for job in self._jobs)

    def stop(self) -> None:
        """Ask the workers to save and end."""
        for job in self._jobs:
            if not job.done():
                os.kill(int(job.job_id), signal.SIGTERM)  # the worker's controller passes it on

    def kill(self) -> None:
        """End the workers at once, in whatever step they are."""
        self.stop()  # for those that hold no run
        for run_id in self.order.run_ids:
            _, record, held = lease.current(self.order.folder.leases(run_id))
            if held and record is not None and record.launch == self.order.launch:
                os.kill(record.holder.pid, signal.SIGKILL)

    def last_words(self) -> str:
        """The end of the newest worker's error output, for the case that workers cannot even start."""
        texts = [job.stderr() or "" for job in self._jobs[-1:]]
        return "\n".join("".join(texts).strip().splitlines()[-5:])


def visible_gpus() -> tuple[int, ...]:
    """Numbers of the GPUs that this process may use, asked of the driver without importing torch."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return tuple(int(part) for part in chosen.split(",") if part.strip().isdigit())
    return tuple(sorted(int(path.name[6:]) for path in Path("/dev").glob("nvidia[0-9]*")))


@contextlib.contextmanager
def _detached() -> Iterator[None]:
    """Start processes inside that a Ctrl-C or a closed terminal does not reach and that keep no pipe of ours open."""
    former = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGHUP)}
    sys.stdout.flush()
    sys.stderr.flush()
    streams = [os.dup(number) for number in range(3)]
    nowhere = os.open(os.devnull, os.O_RDWR)
    try:
        for number in range(3):
            os.dup2(nowhere, number)
        yield
    finally:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.close(nowhere)
        for signal_number, handler in former.items():
            signal.signal(signal_number, handler)
