"""Workers on this machine, started through submitit so that they outlive the front end."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import submitit

from xsam.atomic import naming
from xsam.launch.slots import Slots
from xsam.runner import lease
from xsam.runner.order import WorkOrder
from xsam.runner.process import Process, parent_of
from xsam.runner.worker import work

FOREVER_MINUTES = 60 * 24 * 365 * 10  # submitit ends a local job after two minutes unless told otherwise


class LocalWorkers:
    """Starts worker processes here and can stop them. A worker is ``order.devices`` processes.

    Args:
        order: what every worker is to do.
        limit: workers of the results folder on this host at most, those of other launches counted.
        gpus: the GPUs that workers may use; each place for a worker has its own.
    """

    def __init__(self, order: WorkOrder, limit: int, gpus: Sequence[int] = ()) -> None:
        self.order = order
        self.limit = limit
        self.gpus = tuple(gpus)
        self._slots = Slots(order.results)
        self._jobs: list[submitit.Job[int]] = []

    def start(self, count: int) -> int:
        """Start up to ``count`` more workers; how many there was place for."""
        for started in range(count):
            slot = self._slots.take(self.limit, self.order.launch)
            if slot is None:
                return started
            assert slot.file is not None
            executor = submitit.LocalExecutor(folder=self.order.place)
            executor.update_parameters(
                timeout_min=FOREVER_MINUTES,
                name="xsam-bench",
                tasks_per_node=self.order.devices,
                **self._gpus(slot.number),
            )
            try:
                with naming(self.order.place), _detached(slot.file):  # submitit writes a file first
                    self._jobs.append(executor.submit(work, self.order))
            finally:
                os.close(slot.file)  # the worker has it
        return count

    def _gpus(self, place: int) -> dict[str, object]:
        if not self.gpus:
            return {"gpus_per_node": 0}
        count = min(self.order.devices, len(self.gpus))
        chosen = tuple(self.gpus[(place * count + each) % len(self.gpus)] for each in range(count))
        return {"gpus_per_node": count, "visible_gpus": chosen}

    def live(self) -> int:
        """How many workers of this launch still run, those included whose controller was killed."""
        for job in self._jobs:
            job.done()  # so that the system forgets a controller that has ended
        return sum(slot.launch == self.order.launch for slot in self._slots.taken())

    def others(self) -> int:
        """How many workers of other launches have a place here."""
        return sum(slot.launch != self.order.launch for slot in self._slots.taken())

    def stop(self) -> None:
        """Ask the workers to save and end."""
        for job in self._jobs:
            if not job.done():
                os.kill(int(job.job_id), signal.SIGTERM)  # the worker's controller passes it on
        self._signal_holders(signal.SIGTERM, orphans=True)

    def kill(self) -> None:
        """End the workers at once, in whatever step they are."""
        self.stop()  # for those that hold no run
        self._signal_holders(signal.SIGKILL)

    def _signal_holders(self, number: signal.Signals, orphans: bool = False) -> None:
        """Send a signal to the workers that hold a run; with ``orphans`` only to those whose controller is gone."""
        controllers = {int(job.job_id) for job in self._jobs if not job.done()}
        here = Process.current()
        for run_id in self.order.run_ids:
            _, record, held = lease.current(self.order.folder.leases(run_id))
            if not held or record is None or record.launch != self.order.launch or record.holder.boot != here.boot:
                continue
            with contextlib.suppress(ProcessLookupError):  # it ended a moment ago
                if not orphans or parent_of(record.holder.pid) not in controllers:
                    os.kill(record.holder.pid, number)

    def last_words(self) -> str:
        """The end of the newest worker's error output, for the case that workers cannot even start."""
        texts = [job.stderr() or "" for job in self._jobs[-1:]]
        lines = "".join(texts).strip().splitlines()[-5:]
        return "\n".join(lines) or f"they said nothing; their output is in {self.order.place}"


def visible_gpus() -> tuple[int, ...]:
    """Numbers of the GPUs that this process may use, asked of the driver without importing torch."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return tuple(int(part) for part in chosen.split(",") if part.strip().isdigit())
    return tuple(sorted(int(path.name[6:]) for path in Path("/dev").glob("nvidia[0-9]*")))


@contextlib.contextmanager
def _detached(file: int) -> Iterator[None]:
    """Start processes inside that a Ctrl-C or a closed terminal does not reach and that keep no pipe of ours open.

    They, and the processes that they start, have ``file`` as their standard input.
    """
    former = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGHUP)}
    sys.stdout.flush()
    sys.stderr.flush()
    streams = [os.dup(number) for number in range(3)]
    nowhere = os.open(os.devnull, os.O_RDWR)
    try:
        os.dup2(file, 0)
        for number in (1, 2):
            os.dup2(nowhere, number)
        yield
    finally:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.close(nowhere)
        for signal_number, handler in former.items():
            signal.signal(signal_number, handler)
