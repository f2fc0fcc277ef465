"""The front end's watch over a launch: keep enough workers at it until every run is settled.

Workers need none of this: they take runs by lease and write results by themselves. A front end that dies loses only its
display, and another one may join at any time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from xsam.grid.spec import RunSpec
from xsam.launch.cancel import cancelled
from xsam.launch.starts import Starts, WorkersFail
from xsam.launch.status import FINISHED, RunStatus, status
from xsam.runner.order import WorkOrder, settled
from xsam.runner.stop import StopFlag

POLL_SECONDS = 0.5
LEAST_SECONDS = 0.05  # results may lie on a file system that many share
SHARE = 0.05  # of a core that looking may take where runs are few and end within moments of each other


class Workers(Protocol):
    """The workers of one launch on this machine."""

    def start(self, count: int) -> int:
        """Start up to ``count`` workers; how many there was place for."""

    def live(self) -> int:
        """How many workers of this launch there are."""

    def others(self) -> int:
        """How many workers of other launches have a place here."""

    def stop(self) -> None:
        """Ask this launch's workers to save and end."""

    def kill(self) -> None:
        """End this launch's workers at once."""

    def last_words(self) -> str:
        """The end of what the newest worker said."""


def supervise(
    order: WorkOrder,
    runs: Sequence[RunSpec],
    workers: Workers,
    limit: int,
    stop: StopFlag,
    show: Callable[[Sequence[RunStatus]], None],
    tell: Callable[[str], None] = lambda line: None,
) -> list[RunStatus]:
    """Keep up to ``limit`` workers running until every run is settled or a stop is requested.

    A worker that died is replaced, and the run that it held is taken over by its lease. Runs that another launch's
    workers hold are waited for, and so is a place for a worker where other launches have them all.

    Args:
        stop: once requested, or the launch cancelled by another front end, workers are asked to save and end; the
            caller's second signal ends the front end.
        show: called after every look with the state of all runs.
        tell: called with a line when the launch has to wait for others.

    Returns:
        The last look at every run.

    Raises:
        WorkersFail: workers were started three times without any progress, and none is left.
    """
    known: dict[str, RunStatus] = {}
    starts = Starts(order)
    stopping = waiting = False
    while True:
        began = time.perf_counter()
        states = look(order, runs, known)
        show(states)
        open_runs = [one for one in states if one.run.run_id not in known]
        live = workers.live()
        if stop.requested or cancelled(order.folder, order.launch):
            if not stopping:
                workers.stop()
                stopping = True
            if not live:
                return states
        elif not open_runs:
            if not live:
                return states
        else:
            free = sum(one.state != "running" for one in open_runs)
            busy = sum(one.state == "running" and one.launch == order.launch for one in open_runs)
            wanted = min(limit - live, free - max(0, live - busy))  # a live worker without a run takes a free one
            if wanted > 0 and starts.allowed():
                if workers.start(wanted):
                    starts.count()
                    waiting = False
                elif not live and not waiting:
                    waiting = True
                    tell(f"waiting for a place: {workers.others()} workers of other launches are at work here")
            elif wanted > 0 and not live:
                raise WorkersFail(f"workers end without getting on:\n{workers.last_words()}")
        time.sleep(min(POLL_SECONDS, max(LEAST_SECONDS, (time.perf_counter() - began) / SHARE)))


def look(order: WorkOrder, runs: Sequence[RunSpec], known: dict[str, RunStatus]) -> list[RunStatus]:
    """The state of all runs; settled ones are remembered in ``known``, since nothing can change them any more."""
    states = []
    for run in runs:
        one = known.get(run.run_id) or status(order.folder, run)
        if one.state in FINISHED and run.run_id not in known:
            if settled(order, run.run_id):
                known[run.run_id] = one
            else:
                one = RunStatus(run, "pending", one.attempts)  # failed before, to be retried
        states.append(one)
    return states
