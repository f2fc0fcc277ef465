"""Leases: one holder at a time, dead holders found at once, whatever the timing."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.waiting import wait_until
from xsam.runner import lease as leases
from xsam.runner.lease import Lease, LeaseLost, Record
from xsam.runner.process import Process

pytestmark = pytest.mark.faults

HOLD = """
import sys
from pathlib import Path
from xsam.runner.lease import Lease
lease = Lease.acquire(Path(sys.argv[1]), launch="child")
print(lease.number, flush=True)
sys.stdin.read()  # until the test ends
"""


def hold_in_child(folder: Path) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline().strip() == "1"
    return child


def plant(folder: Path, holder: Process, number: int = 1, age: float = 0.0) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{number:06d}.json"
    path.write_text(json.dumps(asdict(Record(holder, "other"))))
    past = time.time() - age
    os.utime(path, (past, past))
    return path


def test_a_live_holder_keeps_others_out_and_a_killed_one_does_not(tmp_path: Path) -> None:
    child = hold_in_child(tmp_path)
    assert Lease.acquire(tmp_path, "mine") is None
    child.send_signal(signal.SIGKILL)
    # Not waited for: a dead child that nobody has reaped must count as dead.
    lease = wait_until(lambda: Lease.acquire(tmp_path, "mine"), "the dead child's lease")
    assert lease is not None
    assert lease.number == 2
    child.wait()
    lease.release()


def test_a_stopped_holder_still_holds(tmp_path: Path) -> None:
    child = hold_in_child(tmp_path)
    child.send_signal(signal.SIGSTOP)
    assert Lease.acquire(tmp_path, "mine") is None
    child.kill()
    child.wait()


def test_released_leases_are_free_and_numbers_go_up(tmp_path: Path) -> None:
    for number in range(1, 6):
        lease = Lease.acquire(tmp_path, "mine")
        assert lease is not None
        assert lease.number == number
        lease.check()
        lease.release()
    assert len(list(tmp_path.iterdir())) == 2, "files of long gone holders are cleared away"


def test_a_process_with_the_same_pid_started_later_does_not_keep_the_lease(tmp_path: Path) -> None:
    me = Process.current()
    plant(tmp_path, replace(me, started=me.started - 1))
    lease = Lease.acquire(tmp_path, "mine")
    assert lease is not None
    lease.release()


@pytest.mark.parametrize("change", [{"host": "elsewhere"}, {"boot": "another boot"}, {"started": 0}])
def test_where_the_holder_cannot_be_seen_only_a_minute_of_silence_frees_it(
    tmp_path: Path, change: dict[str, object]
) -> None:
    holder = replace(Process.current(), **change)
    plant(tmp_path / "fresh", holder, age=leases.STALE_SECONDS - 20)
    plant(tmp_path / "silent", holder, age=leases.STALE_SECONDS + 20)
    assert Lease.acquire(tmp_path / "fresh", "mine") is None
    taken = Lease.acquire(tmp_path / "silent", "mine")
    assert taken is not None
    taken.release()


def test_a_job_that_slurm_restarted_takes_its_own_lease_back_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "0")
    plant(tmp_path, replace(Process.current(), host="node1"))
    assert Lease.acquire(tmp_path, "mine") is None, "this start of the job may well still run"
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    lease = Lease.acquire(tmp_path, "mine")
    assert lease is not None
    lease.release()


def test_a_holder_that_was_taken_over_notices_and_cannot_refresh_its_successors_lease(tmp_path: Path) -> None:
    former = Lease.acquire(tmp_path, "mine")
    assert former is not None
    successor = plant(tmp_path, replace(Process.current(), host="elsewhere"), number=2, age=30)
    before = successor.stat().st_mtime
    with pytest.raises(LeaseLost):
        former.check()
    former.release()
    assert successor.stat().st_mtime == before
    assert Lease.acquire(tmp_path, "mine") is None


def test_a_holder_refreshes_its_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "REFRESH_SECONDS", 0.01)
    lease = Lease.acquire(tmp_path, "mine")
    assert lease is not None
    path = tmp_path / "000001.json"
    os.utime(path, (1.0, 1.0))
    wait_until(lambda: path.stat().st_mtime != 1.0, "a refreshed lease")
    lease.release()


def test_deaths_are_counted_within_one_launch_and_while_the_checkpoint_stays_where_it_was(tmp_path: Path) -> None:
    me = Process.current()
    dead = replace(me, started=me.started - 1)
    for launch, mark, expected in (("other", "", 1), ("mine", "", 0), ("other", "moved", 0)):
        folder = tmp_path / f"{launch}{mark}"
        plant(folder, dead)
        lease = Lease.acquire(folder, launch, mark)
        assert lease is not None
        assert lease.record.deaths == expected
        lease.release()
        again = Lease.acquire(folder, launch, mark)
        assert again is not None
        assert again.record.deaths == 0, "a holder that let go did not die"
        again.release()


def contend(folder: Path, wins: Path, rounds: int) -> None:
    """Take and release; while holding, no other process may hold (an exclusive file would tell)."""
    done = 0
    while done < rounds:
        lease = Lease.acquire(folder, "mine")
        if lease is None:
            continue
        guard = os.open(wins / "guard", os.O_CREAT | os.O_EXCL)
        lease.check()
        os.close(guard)
        os.unlink(wins / "guard")
        lease.release()
        done += 1


def test_many_processes_never_hold_the_same_lease_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    folder, wins = tmp_path / "lease", tmp_path / "wins"
    wins.mkdir()
    contenders = [context.Process(target=contend, args=(folder, wins, 25)) for _ in range(4)]
    for process in contenders:
        process.start()
    for process in contenders:
        process.join(120)
    assert [process.exitcode for process in contenders] == [0, 0, 0, 0]
    assert leases.current(folder)[0] == 100, "every holder has a number of its own"
