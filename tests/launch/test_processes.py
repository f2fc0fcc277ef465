"""Counting workers: what a worker starts is none, at whatever moment one looks."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from tests.launch import processes
from tests.waiting import wait_until

LOOKS = 1000
# As a worker asks git for the commit: a child has its parent's command line until it becomes another program.
STARTS_OTHERS = "import subprocess\nwhile True: subprocess.run(['true'])"


def test_a_worker_that_starts_programs_is_one_worker(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STARTS_OTHERS, "submitit.core._submit", str(tmp_path)]
    with subprocess.Popen(command) as worker:
        try:
            wait_until(lambda: processes.workers(tmp_path) == [worker.pid], "the worker")
            assert {tuple(processes.workers(tmp_path)) for _ in range(LOOKS)} == {(worker.pid,)}
        finally:
            worker.kill()


def test_a_process_receives_a_signal_once_it_has_a_handler_for_it() -> None:
    waits = "import signal, sys\n{}\nprint(flush=True)\nsys.stdin.read()"
    for first, expected in (("", False), ("signal.signal(signal.SIGTERM, lambda *_: None)", True)):
        command = [sys.executable, "-c", waits.format(first)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            assert processes.receives(process.pid, signal.SIGTERM) is expected
            process.kill()
    assert not processes.receives(process.pid, signal.SIGTERM), "it is gone"
