"""A launcher of its own: every run is a job, that is a process with a number, which a folder of files knows."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from xsam.grid.spec import RunSpec
from xsam.launch.launcher import Finding, Launch, LaunchError, Options, Show, Survey, Tell
from xsam.launch.status import FINISHED, RunStatus
from xsam.launch.supervise import look
from xsam.runner.order import WorkOrder
from xsam.store.layout import GridFolder

JOBS = Path(os.environ.get("TOY_JOBS", "toy-jobs"))
WORK = "import pickle, sys; from xsam.runner.worker import work; work(pickle.load(open(sys.argv[1], 'rb')))"


class Toy:
    """Has each run trained by a process with a number."""

    here = True

    def own_job(self) -> tuple[str, int] | None:
        return (os.environ["TOY_JOB"], 0) if "TOY_JOB" in os.environ else None

    def alive(self, number: str, restart: int) -> bool | None:
        if not (JOBS / number).exists():
            return None
        try:
            stat = Path(f"/proc/{(JOBS / number).read_text()}/stat").read_text()
        except OSError:
            return False
        return stat.rpartition(")")[2].split()[0] not in "ZX"

    def check(self, grid: str, runs: Sequence[RunSpec], options: Options) -> None:
        if options.jobs is not None:
            raise LaunchError(f"{grid}: the toy launcher starts all jobs at once; leave out --jobs")

    def submit(self, order: WorkOrder, runs: Sequence[RunSpec], options: Options) -> Launch:
        order.write_snapshot(runs)
        JOBS.mkdir(exist_ok=True)
        for run in runs:
            path = order.place / f"{run.run_id}.pkl"
            path.write_bytes(pickle.dumps(order.part([run.run_id])))
            job = {**os.environ, "TOY_JOB": run.run_id}
            process = subprocess.Popen([sys.executable, "-c", WORK, path], env=job, start_new_session=True)
            (JOBS / run.run_id).write_text(str(process.pid))
        return Started(order, f"{order.grid}: {len(runs)} toy jobs")

    def status(self, surveys: Sequence[Survey]) -> list[list[RunStatus]]:
        return [[_explained(one) for one in states] for _, states in surveys]

    def cancel(self, folder: GridFolder, runs: Sequence[RunSpec]) -> str:
        jobs = [run.run_id for run in runs if self.alive(run.run_id, 0)]
        for job in jobs:
            with suppress(ProcessLookupError):
                os.kill(int((JOBS / job).read_text()), signal.SIGTERM)
        return f"ended {len(jobs)} toy jobs"

    def findings(self) -> Iterator[Finding]:
        yield Finding("toy", True, f"jobs in {JOBS}")


def _explained(state: RunStatus) -> RunStatus:
    waits = state.state not in (*FINISHED, "running") and (JOBS / state.run.run_id).exists()
    return replace(state, why="its toy job has not finished it") if waits else state


@dataclass(frozen=True)
class Started:
    order: WorkOrder
    said: str

    def follow(self, runs: Sequence[RunSpec], show: Show, tell: Tell) -> list[RunStatus]:
        known: dict[str, RunStatus] = {}
        while True:
            states = look(self.order, runs, known)
            show(states)
            if len(known) == len(runs):
                return states
            time.sleep(0.1)


TOY = Toy()
