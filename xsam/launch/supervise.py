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
from xsam.launch.status import FINISHED, RunStatus, status
from xsam.runner.stop import StopFlag
from xsam.runner.work import WorkOrder, settled

POLL_SECONDS = 0.5
MAX_STARTS_IN_VAIN = 3


class Launcher(Protocol):
    """Whoever can start workers: on this machine, or on a cluster."""

    def start(self, count: int) -> None: ...

    def live(self) -> int: ...

    def stop(self) -> None: ...

    def kill(self) -> None: ...

    def last_words(self) -> str: ...


class WorkersFail(Exception):
    """Workers end without taking a run; the message has their last words."""


def supervise(
    order: WorkOrder,
    runs: Sequence[RunSpec],
    launcher: Launcher,
    workers: int,
    stop: StopFlag,
    show: Callable[[Sequence[RunStatus]], None],
) -> list[RunStatus]:
    """Keep up to ``workers`` workers running until every run is settled or a stop is requested.

    A worker that died is replaced, and the run that it held is taken over by its lease. Runs that another launch's
    workers hold are waited for.

    Args:
        stop: once requested, or the launch cancelled by another front end, workers are asked to save and end; the
            caller's second signal ends the front end.
        show: called after every look with the state of all runs.

    Returns:
        The last look at every run.

    Raises:
        WorkersFail: workers were started several times in vain.
    """
    known: dict[str, RunStatus] = {}
    in_vain, stopping = 0, False
    taken_before = -1
    while True:
        states = look(order, runs, known)
        show(states)
        open_runs = [one for one in states if one.run.run_id not in known]
        live = launcher.live()
        if stop.requested or cancelled(order.folder, order.launch):
            if not stopping:
                launcher.stop()
                stopping = True
            if not live:
                return states
        elif not open_runs:
            if not live:
                return states
        else:
            free = [one for one in open_runs if one.state != "running"]
            busy = sum(one.launch == order.launch for one in open_runs)
            wanted = min(
                workers - live, len(free) - (live - busy)
            )  # a live worker that holds nothing will take a free run
            if wanted > 0:
                taken = sum(one.attempts for one in states)
                in_vain = in_vain + 1 if taken == taken_before else 0
                if in_vain > MAX_STARTS_IN_VAIN:
                    raise WorkersFail(f"workers end without taking a run:\n{launcher.last_words()}")
                taken_before = taken
                launcher.start(wanted)
        time.sleep(POLL_SECONDS)


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
