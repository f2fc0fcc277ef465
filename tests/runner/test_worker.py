"""What workers and their supervisor do with runs and workers that keep dying."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Bench
from xsam.grid import load_grid
from xsam.launch.starts import MAX_STALLED_STARTS, WorkersFail
from xsam.launch.supervise import supervise
from xsam.runner.order import WorkOrder
from xsam.runner.stop import StopFlag
from xsam.runner.worker import MAX_DEATHS, work
from xsam.store import finished

pytestmark = pytest.mark.faults

GRID = """
name: deadly
task: vision
matrix: {optimizer: [sgd], seed: [0, 1]}
params: {model: mlp, dataset: digits, hidden: [8], epochs: 1, batch_size: 512}
"""

# Take the run as a worker does, and die without a word.
DIE = """
import os, signal, sys
from pathlib import Path
from xsam.runner.lease import Lease
assert Lease.acquire(Path(sys.argv[1]), sys.argv[2]) is not None
os.kill(os.getpid(), signal.SIGKILL)
"""


def order_for(bench: Bench, launch: str) -> WorkOrder:
    grid = load_grid(bench.write_grid(GRID))
    order = WorkOrder(
        results=bench.results,
        grid=grid.name,
        run_ids=tuple(run.run_id for run in grid.runs),
        data_dir=bench.folder / "data",
        launch=launch,
    )
    order.write_snapshot(grid.runs)
    return order


@pytest.fixture(autouse=True)
def _signal_handlers() -> object:
    """``work`` takes over the process's signals; give them back to the test runner."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def die_holding(folder: Path, launch: str) -> None:
    done = subprocess.run([sys.executable, "-c", DIE, str(folder), launch], check=False)
    assert done.returncode == -signal.SIGKILL


def test_a_run_whose_workers_keep_dying_is_given_up_and_the_others_are_done(bench: Bench) -> None:
    order = order_for(bench, "launch")
    deadly, harmless = order.run_ids
    for _ in range(MAX_DEATHS):
        die_holding(order.folder.leases(deadly), "launch")
    assert work(order) == 2
    ended = finished(order.folder, deadly)
    assert ended is not None
    assert ended.status == "failed"
    assert ended.error is not None
    assert f"died {MAX_DEATHS} times" in ended.error
    ended = finished(order.folder, harmless)
    assert ended is not None
    assert ended.status == "done"


def test_deaths_under_an_earlier_launch_do_not_count(bench: Bench) -> None:
    order = order_for(bench, "second")
    for _ in range(MAX_DEATHS):
        die_holding(order.folder.leases(order.run_ids[0]), "first")
    work(order)
    ended = finished(order.folder, order.run_ids[0])
    assert ended is not None
    assert ended.status == "done"
    assert ended.attempts == MAX_DEATHS + 1
    assert ended.launch == "second"


class DeadOnArrival:
    """A launcher whose workers end before they take a run, as with a broken installation."""

    started = 0

    def start(self, count: int) -> int:
        self.started += 1
        return count

    def live(self) -> int:
        return 0

    def others(self) -> int:
        return 0

    def stop(self) -> None: ...

    def kill(self) -> None: ...

    def last_words(self) -> str:
        return "ImportError: no such module"


def test_workers_that_cannot_start_are_not_started_for_ever(bench: Bench) -> None:
    order = order_for(bench, "launch")
    launcher = DeadOnArrival()
    runs = load_grid(bench.folder / "grid.yaml").runs
    with pytest.raises(WorkersFail, match="no such module"):
        supervise(order, runs, launcher, 2, StopFlag(), lambda states: None)
    assert launcher.started == MAX_STALLED_STARTS


def test_a_stop_flag_is_only_a_flag_until_the_second_signal() -> None:
    program = (
        "import os, signal\n"
        "from xsam.runner.stop import StopFlag\n"
        "stop = StopFlag(before_exit=lambda: print('last', flush=True))\n"
        "stop.install()\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
        "print(stop.requested, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
        "print('never')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 128 + signal.SIGTERM
    assert done.stdout.split() == ["True", "last"]


def test_the_workers_entry_imports_no_torch() -> None:
    program = "import sys, xsam.runner.worker, xsam.cli.main; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], env=os.environ, check=False).returncode == 0
