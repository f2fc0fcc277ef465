"""Leases of processes on other hosts: SLURM says whether that start of the job still runs."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.launch.standin import StandIn, squeue_output
from xsam.runner import lease
from xsam.runner.lease import Lease
from xsam.runner.process import Process

ELSEWHERE = replace(Process.current(), host="n77", boot="another", launcher="slurm", job="123", restart=1)


def held_elsewhere(folder: Path, refreshed: float) -> Path:
    folder.mkdir()
    path = folder / "000001.json"
    record = {"holder": asdict(ELSEWHERE), "launch": "a", "deaths": 0, "released": False}
    path.write_text(json.dumps(record), encoding="utf-8")
    os.utime(path, (time.time() - refreshed, time.time() - refreshed))
    return folder


@pytest.mark.parametrize(
    ("state", "restarts", "refreshed", "held"),
    [
        ("RUNNING", 1, 3600.0, True),  # however long ago: its file system may be slow
        ("RUNNING", 2, 0.0, False),  # another start: the process of the former is gone
        ("PENDING", 2, 0.0, False),
        ("FAILED", 1, 0.0, False),
        ("TIMEOUT", 1, 0.0, False),
        ("RUNNING", 0, 0.0, True),  # the queue is older than this start: the heartbeat decides
        ("RUNNING", 0, 61.0, False),
        ("COMPLETING", 1, 0.0, True),
        ("COMPLETING", 1, 61.0, False),
        (None, 0, 0.0, True),  # SLURM does not know the job
        (None, 0, 61.0, False),
    ],
)
def test_the_start_of_the_job_decides(
    tmp_path: Path, slurm: StandIn, state: str | None, restarts: int, refreshed: float, held: bool
) -> None:
    rows = [("120", "3", "123", state, restarts, "None", "xsam")] if state else []
    slurm.command("squeue", squeue_output(rows))
    folder = held_elsewhere(tmp_path / "lease", refreshed)
    assert lease.current(folder)[2] is held
    taken = Lease.acquire(folder, launch="a")
    assert (taken is None) is held
    if taken is not None:
        assert taken.record.deaths == 0, "SLURM ended the job; the run did not end its worker"
        taken.release()


def test_many_leases_cost_one_call(tmp_path: Path, slurm: StandIn) -> None:
    slurm.command("squeue", squeue_output([("120", "3", "123", "RUNNING", 1, "None", "xsam")]))
    for number in range(20):
        assert lease.current(held_elsewhere(tmp_path / str(number), 3600.0))[2]
    assert len(slurm.calls("squeue")) == 1


def test_without_slurm_the_heartbeat_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slurm: StandIn) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert lease.current(held_elsewhere(tmp_path / "fresh", 0.0))[2]
    assert not lease.current(held_elsewhere(tmp_path / "old", 61.0))[2]
