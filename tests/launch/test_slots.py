"""Places for workers: as many as asked, whoever asks, and free at once when a worker has ended in whatever way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from xsam.launch.slots import Slots

# Take places over and over; while one is held, count the holders by exclusive files of their own.
CONTEND = """
import os, sys, time
from pathlib import Path
from xsam.launch.slots import Slots
slots, marks, limit = Slots(Path(sys.argv[1])), Path(sys.argv[2]), int(sys.argv[3])
for _ in range(150):
    slot = slots.take(limit, "a")
    if slot is None:
        continue
    mark = marks / f"{os.getpid()}"
    mark.touch()
    assert len(list(marks.iterdir())) <= limit
    mark.unlink()
    os.close(slot.file)
"""

PARENT = "import subprocess; child = subprocess.Popen(['sleep', '60']); print(child.pid, flush=True); child.wait()"


def test_the_smaller_limit_counts_the_workers_of_the_larger(tmp_path: Path) -> None:
    slots = Slots(tmp_path)
    files = [slot.file for _ in range(4) if (slot := slots.take(4, "a")) is not None]
    assert len(files) == 4
    assert slots.take(2, "b") is None
    for file in files[:3]:
        assert file is not None
        os.close(file)
    taken = slots.take(2, "b")
    assert taken is not None
    assert taken.number == 0
    assert [(slot.number, slot.launch) for slot in slots.taken()] == [(0, "b"), (3, "a")]
    assert slots.take(2, "b") is None


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_a_place_is_its_workers_and_its_childrens_until_the_last_of_them_has_ended(
    tmp_path: Path, ending: signal.Signals
) -> None:
    slots = Slots(tmp_path)
    slot = slots.take(1, "a")
    assert slot is not None
    assert slot.file is not None
    worker = subprocess.Popen([sys.executable, "-c", PARENT], stdin=slot.file, stdout=subprocess.PIPE, text=True)
    os.close(slot.file)
    assert worker.stdout is not None
    child = int(worker.stdout.readline())
    assert len(slots.taken()) == 1
    worker.send_signal(ending)
    worker.wait()
    assert slots.take(1, "b") is None
    os.kill(child, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while slots.taken():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_many_front_ends_never_take_more_than_the_limit(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    contenders = [
        subprocess.Popen([sys.executable, "-c", CONTEND, str(tmp_path / "results"), str(marks), "2"]) for _ in range(3)
    ]
    assert [contender.wait(60) for contender in contenders] == [0, 0, 0]


def test_a_frozen_front_end_holds_nobody_up(tmp_path: Path) -> None:
    program = CONTEND.replace("range(150)", "range(10**9)")
    (tmp_path / "marks").mkdir()
    frozen = subprocess.Popen([sys.executable, "-c", program, str(tmp_path), str(tmp_path / "marks"), "1"])
    try:
        for _ in range(30):
            frozen.send_signal(signal.SIGCONT)
            time.sleep(0.01)
            frozen.send_signal(signal.SIGSTOP)
            began = time.monotonic()
            slot = Slots(tmp_path).take(2, "b")
            Slots(tmp_path).taken()
            assert time.monotonic() - began < 5
            if slot is not None and slot.file is not None:
                os.close(slot.file)
    finally:
        frozen.kill()
        frozen.wait()
