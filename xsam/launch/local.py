"""The launcher ``local``: workers on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xsam.grid.spec import RunSpec
from xsam.launch import launcher
from xsam.launch.cancel import stop_workers
from xsam.launch.launcher import Finding, Launch, LaunchError, Options, Show, Survey, Tell
from xsam.launch.status import FINISHED, RunStatus
from xsam.launch.supervise import look, supervise
from xsam.runner.order import WorkOrder
from xsam.runner.stop import StopFlag
from xsam.store.layout import GridFolder

if TYPE_CHECKING:
    from xsam.launch.local_workers import LocalWorkers


class Local:
    """Has runs trained by workers on this machine, which outlive whoever started them."""

    here = True

    def own_job(self) -> None:
        """Its workers are in no job: processes of a machine tell by themselves whether they live."""

    def alive(self, number: str, restart: int) -> None:
        """There are no jobs that it could tell of."""

    def check(self, grid: str, runs: Sequence[RunSpec], options: Options) -> None:
        _workers(grid, runs, options)

    def submit(self, order: WorkOrder, runs: Sequence[RunSpec], options: Options) -> Launch:
        from xsam.launch.local_workers import LocalWorkers, visible_gpus

        limit = _workers(order.grid, runs, options)
        gpus = visible_gpus() if options.device != "cpu" else ()
        launches = [LocalWorkers(part, limit, gpus) for part in launcher.apart(order, runs)]
        for workers in launches:
            workers.order.write_snapshot(runs)
        if not options.detach:
            return Supervised(order, launches, limit)
        if len(launches) > 1:
            raise LaunchError(
                f"{order.grid}: workers compute with one setting of numerics, and these runs have two; "
                "start them one after the other, with --only numerics=native first"
            )
        (workers,) = launches
        started = workers.start(min(limit, len(runs)))
        if not started:
            raise LaunchError(
                f"{order.grid}: no worker started, since {workers.others()} of other launches are at work in "
                f"{order.results}; raise --jobs, or give the command again later"
            )
        said = f"{order.grid}: started {started} workers; 'xsam-bench status' tells how far they are"
        return Supervised(order, launches, limit, said)

    def status(self, surveys: Sequence[Survey]) -> list[list[RunStatus]]:
        """The files say all that is known."""
        return [list(states) for _, states in surveys]

    def cancel(self, folder: GridFolder, runs: Sequence[RunSpec]) -> str:
        return f"stopped {stop_workers(folder, runs)} workers"

    def findings(self) -> Iterator[Finding]:
        """What it needs, cores and disks, every launcher needs."""
        yield from ()


LOCAL = Local()


@dataclass(frozen=True)
class Supervised:
    """Workers of this machine, and the watch over them; one launch of them for each setting of numerics."""

    order: WorkOrder
    launches: Sequence[LocalWorkers]
    limit: int
    said: str = ""

    def follow(self, runs: Sequence[RunSpec], show: Show, tell: Tell) -> list[RunStatus]:
        """Start workers, and others in place of those that die; a second signal ends them and this process at once."""
        stop = StopFlag(before_exit=self._kill)
        stop.install()
        if len(self.launches) == 1:
            return supervise(self.order, runs, self.launches[0], self.limit, stop, show, tell)
        for workers in self.launches:
            own = launcher.chosen(runs, workers.order.run_ids)
            states = supervise(workers.order, own, workers, self.limit, stop, show, tell)
            if any(one.state not in FINISHED for one in states):
                break  # stopped or cancelled
        return look(self.order, runs, {})

    def _kill(self) -> None:
        for workers in self.launches:
            workers.kill()


def _workers(grid: str, runs: Sequence[RunSpec], options: Options) -> int:
    """How many workers there may be at a time."""
    threads = max(one.config.training.threads * one.config.training.devices for one in runs)
    count = max(1, options.cores // threads) if options.jobs is None else options.jobs
    if count * threads > options.cores:
        raise LaunchError(
            f"{grid}: {count} jobs of {threads} threads need {count * threads} cores, there are {options.cores}; "
            "use fewer jobs"
        )
    return count
