"""The members of one job, outside of a cluster: replaced when they die or must not go on, and not for ever."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Bench
from tests.launch.standin import StandIn
from tests.launch.test_faults_workers import GRID, at_the_start_of, fault
from xsam.grid import load_grid
from xsam.launch.starts import MAX_STALLED_STARTS
from xsam.runner.order import WorkOrder
from xsam.runner.worker import MAX_DEATHS
from xsam.store import read

__all__ = ["fault"]  # a fixture

pytestmark = pytest.mark.slow

JOB = """
import pickle, sys
from xsam.launch.slurm_worker import Element
Element(members=1)(pickle.load(open(sys.argv[1], "rb")))
"""


def job(bench: Bench) -> subprocess.CompletedProcess[str]:
    """Do the grid as one job would, whose launch is over before a worker reads what it wrote."""
    grid = load_grid(bench.write_grid(GRID))
    run_ids = tuple(run.run_id for run in grid.runs)
    order = WorkOrder(bench.results, grid.name, run_ids, bench.folder / "data", "a", device="cpu")
    order.write_snapshot(grid.runs)
    path = bench.folder / "order.pkl"
    path.write_bytes(pickle.dumps(order))
    return subprocess.run(
        [sys.executable, "-c", JOB, str(path)],
        cwd=bench.folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_job_whose_starts_are_all_too_short_is_put_back_three_times_at_most(
    bench: Bench, slurm: StandIn, monkeypatch: pytest.MonkeyPatch, fault: Path
) -> None:
    """It is warned of its time limit before a run gets further; ``scontrol`` does not answer every time."""
    slurm.script(
        "scontrol",
        'case "$*" in *show*) echo "JobId=7 JobState=RUNNING"; [ $(grep -c show "$0.calls") != 1 ] || exit 0 ;; esac\n'
        '[ $(wc -l < "$0.calls") != 2 ] || { echo "scontrol: error: Unable to contact slurm controller" >&2; exit 1; }',
    )
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    fault.write_text("import os, signal, time; os.kill(os.getppid(), signal.SIGUSR2); time.sleep(3)")
    ends = [job(bench) for _ in range(MAX_STALLED_STARTS)]
    for ended in ends[:-1]:
        assert "saved, and put back into the queue" in ended.stderr, ended.stderr
    assert "3 starts of this job ended before any of its runs got further" in ends[-1].stderr
    assert [call for call in slurm.calls("scontrol") if "requeue" in call] == ["requeue 7"] * MAX_STALLED_STARTS


def status(bench: Bench) -> list[str]:
    rows = read_rows(bench)
    return [rows[seed] for seed in sorted(rows)]


def read_rows(bench: Bench) -> dict[int, str]:
    (bench.results / "faulty" / "grid.json").write_text('{"report": {"rule": "final"}}')
    frame = read(bench.results)
    return dict(zip(frame["seed"], frame["status"], strict=True))


def test_members_that_cannot_import_torch_end_the_job_soon(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken" / "torch"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('libtorch_cpu.so: cannot open shared object file')")
    monkeypatch.setenv("PYTHONPATH", f"{broken.parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    ended = job(bench)
    assert ended.returncode == 1
    assert ended.stderr.count("ImportError: libtorch_cpu.so") == MAX_STALLED_STARTS
    assert "workers end with status 1 without getting on" in ended.stderr.splitlines()[-1]
    assert not (bench.results / "faulty" / "state").exists(), "no lease was taken"


def test_a_run_that_kills_its_members_is_given_up_and_the_others_are_done(bench: Bench, fault: Path) -> None:
    fault.write_text(at_the_start_of(0, "os.kill(os.getpid(), signal.SIGKILL)"))
    ended = job(bench)
    assert ended.returncode == 0, ended.stderr
    assert status(bench) == ["failed", "done", "done"]
    assert read(bench.results).set_index("seed").loc[0, "deaths"] == MAX_DEATHS


def test_a_run_that_fails_in_a_used_member_is_done_by_a_fresh_one(bench: Bench, fault: Path) -> None:
    fault.write_text(at_the_start_of(1, "if trained: raise RuntimeError('CUDA error: device-side assert triggered')"))
    ended = job(bench)
    assert ended.returncode == 0, ended.stderr
    assert status(bench) == ["done"] * 3
