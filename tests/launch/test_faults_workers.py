"""Workers that cannot start, die, are poisoned, or find another grid than they were sent for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.conftest import Bench
from tests.launch import processes
from xsam.grid import Grid, load_grid
from xsam.launch.starts import MAX_STALLED_STARTS
from xsam.runner import lease
from xsam.runner.worker import MAX_DEATHS
from xsam.store import read
from xsam.store.layout import GridFolder

FAULTS = Path(__file__).parent / "faults"
GRID = """
name: faulty
task: vision
matrix: {optimizer: [sgd], seed: [0, 1, 2]}
params: {model: mlp, dataset: digits, hidden: [8], epochs: 1, batch_size: 512}
"""
# Most of a run's time is in the middle of an epoch.
LONG = GRID.replace("batch_size: 512", "batch_size: 4").replace("hidden: [8]", "hidden: [64, 64]")

pytestmark = pytest.mark.slow


@pytest.fixture
def fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file for the fault, which every worker that starts from now on runs once it has imported what trains."""
    path = tmp_path / "fault.py"
    monkeypatch.setenv("PYTHONPATH", f"{FAULTS}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setenv("XSAM_TEST_FAULT", str(path))
    return path


@pytest.fixture(autouse=True)
def _none_outlives_the_test(bench: Bench) -> Iterator[None]:
    yield
    for pid in workers(bench):
        os.kill(pid, signal.SIGKILL)


def at_the_start_of(seed: int, action: str) -> str:
    """The fault: ``action`` whenever the run of this seed begins or goes on."""
    return f"""
import os, signal
real, trained = runner.fresh_trainer, []
def fresh_trainer(spec, *more, **options):
    if spec.params["seed"] == {seed}:
        {action}
    trained.append(spec)
    return real(spec, *more, **options)
runner.fresh_trainer = fresh_trainer
"""


def folder_of(bench: Bench) -> GridFolder:
    return GridFolder(bench.results, "faulty")


def starts(bench: Bench) -> int:
    """How many workers were ever started."""
    return len(list(folder_of(bench).launches.glob("*/*_0_log.err")))


def workers(bench: Bench) -> list[int]:
    """The workers of this results folder that live, of whatever launch."""
    return processes.workers(bench.results)


def wait_until(found: Callable[[], Any], seconds: float = 90) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
    return value


def holders(bench: Bench) -> dict[str, int]:
    """run id → pid of the worker that holds it now."""
    if not folder_of(bench).grid_json.exists():
        return {}
    found = {}
    for run in Grid.load(folder_of(bench).grid_json).runs:
        _, record, held = lease.current(folder_of(bench).leases(run.run_id))
        if held and record is not None:
            found[run.run_id] = record.holder.pid
    return found


def rows(bench: Bench) -> pd.DataFrame:
    return read(bench.results).set_index("seed").sort_index()


def test_workers_that_cannot_import_torch_take_no_run_and_are_soon_given_up(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken" / "torch"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('libtorch_cpu.so: cannot open shared object file')")
    monkeypatch.setenv("PYTHONPATH", f"{broken.parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    shown = bench("run", bench.write_grid(GRID), "--jobs", 1, status=1)
    assert "libtorch_cpu.so: cannot open shared object file" in shown
    assert "Traceback" not in shown.splitlines()[0]
    assert starts(bench) == MAX_STALLED_STARTS
    assert not folder_of(bench).started(), "no lease was taken"
    assert not folder_of(bench).has_rows("runs")


def test_workers_without_memory_are_soon_given_up_and_fail_no_run(bench: Bench) -> None:
    command = [sys.executable, "-m", "xsam.cli.main", "run", str(bench.write_grid(GRID)), "--jobs", "1"]
    limited = ["bash", "-c", 'ulimit -v "$1"; shift; exec "$@"', "limited", "900000", *command]
    done = subprocess.run(limited, cwd=bench.folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "without getting on" in done.stderr
    assert starts(bench) == MAX_STALLED_STARTS
    assert not folder_of(bench).has_rows("runs")
    bench("run", bench.folder / "grid.yaml", "--jobs", 1)
    assert list(rows(bench)["status"]) == ["done"] * 3


def test_a_run_that_kills_its_workers_is_given_up_holds_nobody_up_and_is_tried_again_by_the_same_command(
    bench: Bench, fault: Path
) -> None:
    fault.write_text(at_the_start_of(0, "os.kill(os.getpid(), signal.SIGKILL)"))
    grid = bench.write_grid(GRID)
    shown = bench("run", grid, "--jobs", 1, status=1)
    assert "2 done, 1 failed" in shown
    given_up = rows(bench).loc[0]
    assert given_up["deaths"] == MAX_DEATHS
    assert f"died {MAX_DEATHS} times" in given_up["error"]
    fault.unlink()
    bench("run", grid, "--jobs", 1)
    now = rows(bench)
    assert list(now["status"]) == ["done"] * 3
    assert now["deaths"].isna().all()
    assert now.loc[0, "launch"] != now.loc[1, "launch"] == now.loc[2, "launch"]


def test_a_broken_machine_fails_no_run(bench: Bench, fault: Path) -> None:
    """Every run kills its worker: it is not the runs' fault, and none of them is written down as failed."""
    fault.write_text(at_the_start_of(0, "pass").replace("if spec", "os.kill(os.getpid(), signal.SIGKILL)\n    if spec"))
    shown = bench("run", bench.write_grid(GRID), "--jobs", 1, status=1)
    assert "without getting on" in shown
    assert starts(bench) == MAX_STALLED_STARTS
    assert not folder_of(bench).has_rows("runs")


def test_deaths_that_each_got_the_run_further_do_not_count(bench: Bench) -> None:
    grid = bench.write_grid(LONG.replace("seed: [0, 1, 2]", "seed: [0]").replace("epochs: 1", "epochs: 5"))
    front_end = bench.start("run", grid, "--jobs", 1, "--checkpoint-seconds", 0.02)
    (run,) = load_grid(grid).runs
    checkpoint, seen = folder_of(bench).checkpoint(run.run_id), set()

    def moved() -> int | None:
        pid = holders(bench).get(run.run_id)
        mark = checkpoint.stat().st_mtime_ns if checkpoint.exists() else None
        return pid if pid is not None and mark is not None and mark not in seen else None

    for _ in range(MAX_DEATHS + 2):
        pid = wait_until(moved)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda gone=pid: holders(bench).get(run.run_id) != gone)
        seen.add(checkpoint.stat().st_mtime_ns)
    output, error = front_end.communicate(timeout=240)
    assert front_end.returncode == 0, output + error
    assert rows(bench).loc[0, "attempts"] == MAX_DEATHS + 3


def test_a_worker_whose_clock_is_behind_trains_a_failing_run_once_a_launch(bench: Bench, fault: Path) -> None:
    fault.write_text(
        at_the_start_of(0, "raise ValueError('its own fault')")
        + """
import datetime
real_now = runner.utc_now
runner.utc_now = lambda: real_now() - datetime.timedelta(hours=1)
"""
    )
    grid = bench.write_grid(GRID)
    bench("run", grid, "--jobs", 1, status=1)
    assert rows(bench).loc[0, "attempts"] == 1
    assert "nothing to do" in bench("run", grid, "--jobs", 1, status=1)
    bench("run", grid, "--jobs", 1, "--retry-failed", status=1)
    assert rows(bench).loc[0, "attempts"] == 2
    fault.unlink()
    bench("run", grid, "--jobs", 1, "--retry-failed")
    assert list(rows(bench)["status"]) == ["done"] * 3


@pytest.mark.parametrize("always", [True, False])
def test_a_poisoned_process_fails_no_run_but_the_one_that_always_does(bench: Bench, fault: Path, always: bool) -> None:
    """A failure breaks whatever comes after it in the same process, as a CUDA error does."""
    fault.write_text(
        """
import torch
def broken(*more, **options):
    raise RuntimeError("CUDA error: an illegal memory access was encountered")
def poison():
    runner.fresh_trainer = torch.ones = broken
    broken()
"""
        + at_the_start_of(1, "poison()" if always else "trained and poison()")
    )
    grid = bench.write_grid(GRID.replace("[0, 1, 2]", "[0, 1, 2, 3]"))
    shown = bench("run", grid, "--jobs", 1, status=None)
    status = list(rows(bench)["status"])
    if always:
        assert status == ["done", "failed", "done", "done"], shown
        assert "illegal memory access" in rows(bench).loc[1, "error"]
    else:  # the run of seed 1 fails in processes that trained others before, and only there
        assert status == ["done"] * 4, shown
    log = folder_of(bench).log(rows(bench).loc[1, "run_id"]).read_text()
    assert "this process may be to blame" in log


def test_a_grid_that_is_edited_and_run_again_under_its_name_disturbs_no_worker(bench: Bench) -> None:
    before, after = LONG, LONG.replace("[0, 1, 2]", "[3, 4]")
    first = bench.start("run", bench.write_grid(before), "--jobs", 1)
    wait_until(lambda: holders(bench))
    bench("run", bench.write_grid(after), "--jobs", 1)
    output, error = first.communicate(timeout=240)
    assert first.returncode == 0, output + error
    found = rows(bench)
    assert dict(found["status"]) == dict.fromkeys(range(5), "done")
    assert len(set(found["launch"])) == 2


def test_jobs_bounds_the_living_workers_of_a_results_folder_across_front_ends_and_grids(bench: Bench) -> None:
    grid = bench.write_grid(LONG.replace("[0, 1, 2]", "[0, 1, 2, 3]").replace("epochs: 1", "epochs: 3"))
    other = bench.write_grid(GRID.replace("name: faulty", "name: other"), "other.yaml")
    first = bench.start("run", grid, "--jobs", 2)
    wait_until(lambda: len(holders(bench)) == 2)
    first.kill()
    first.communicate()
    again = [bench.start("run", grid, "--jobs", 2), bench.start("run", other, "--jobs", 2)]
    most = 0
    while any(front_end.poll() is None for front_end in again):
        most = max(most, len(workers(bench)))
        time.sleep(0.02)
    shown = [front_end.communicate() for front_end in again]
    assert [front_end.returncode for front_end in again] == [0, 0], shown
    assert most == 2
    assert any("waiting for a place: 2 workers of other launches" in output for output, _ in shown)
    assert list(read(bench.results)["status"]) == ["done"] * 7


def test_a_worker_whose_controller_was_killed_still_counts_and_hears_ctrl_c(bench: Bench) -> None:
    front_end = bench.start("run", bench.write_grid(LONG.replace("epochs: 1", "epochs: 50")), "--jobs", 1)
    (pid,) = wait_until(lambda: list(holders(bench).values()))
    controller = processes.controller(pid)
    assert controller is not None
    os.kill(controller, signal.SIGKILL)
    for _ in range(100):
        assert workers(bench) == [pid]
        time.sleep(0.02)
    os.killpg(front_end.pid, signal.SIGINT)
    output, error = front_end.communicate(timeout=60)
    assert front_end.returncode == 1, output + error
    assert "1 interrupted" in output
    assert not workers(bench)
