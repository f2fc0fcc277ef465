"""A campaign of random kills and freezes: nothing is lost, no bit changes, nobody is blamed, and nobody is too many."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import time
from collections import Counter

import pytest

from tests.conftest import Bench
from tests.launch import processes
from tests.stored import assert_same_numbers, numbers
from xsam.store import GridFolder, read

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(3000)]

RUNS = 60
JOBS = 2
# One epoch is some 1,300 steps: nearly every moment is in the middle of one.
GRID = f"""
name: campaign
task: vision
matrix:
  optimizer: [sgd, sam, xsam]
  seed: {{count: {RUNS // 3}}}
params: {{model: mlp, dataset: digits, hidden: [32], epochs: 1, batch_size: 1, lr: 0.01, augment: crop_flip}}
"""
STOPPED_SECONDS = 65.0  # longer than a heartbeat may be silent
QUIET_SECONDS = 1.0  # at most, between an event and the moment that the next is due
# Who is hit, with what, how often.
EVENTS = (
    [("worker", signal.SIGKILL)] * 46
    + [("worker", signal.SIGTERM)] * 14
    + [("worker", signal.SIGINT)] * 8
    + [("worker", signal.SIGSTOP)] * 3
    + [("controller", signal.SIGKILL)] * 8
    + [("controller", signal.SIGTERM)] * 4
    + [("front end", signal.SIGKILL)] * 8
    + [("front end", signal.SIGINT)] * 6
    + [("front end", signal.SIGTERM)] * 4
    + [("front end", signal.SIGSTOP)] * 3
)


class Campaign:
    """Two front ends, given the same command whenever one has ended, and events that hit them and their workers.

    Args:
        bench: the command.
        chance: where all randomness comes from.
    """

    def __init__(self, bench: Bench, chance: random.Random) -> None:
        self.bench, self.chance = bench, chance
        self.grid = bench.write_grid(GRID)
        self.folder = GridFolder(bench.results, "campaign")
        self.front_ends: list[subprocess.Popen[str]] = [self._front_end() for _ in range(2)]
        self.stopped: dict[int, float] = {}
        self.said: list[str] = []
        self.most_workers = 0
        self.fired: Counter[str] = Counter()

    def _front_end(self) -> subprocess.Popen[str]:
        return self.bench.start("run", self.grid, "--jobs", JOBS, "--checkpoint-seconds", 0.1)

    def run(self) -> None:
        """Fire the events along with the runs, then let everything come to its end.

        An event that finds nobody until the last run is finished is left out: a freeze needs a second worker.

        What costs a start of a worker waits until the campaign got on since the event before: nobody could train on a
        machine that kills every process in its first seconds.
        """
        events = self.chance.sample(EVENTS, len(EVENTS))
        fired_at, stand, pause = time.monotonic(), self._stand(), self.chance.uniform(0.0, QUIET_SECONDS)
        while not self._finished():
            time.sleep(0.05)
            self._watch(again=True)
            if not events:
                continue
            who, what = events[-1]
            costs_a_start = who != "front end" and what in (signal.SIGKILL, signal.SIGTERM)
            # Along with the runs, so that the events hit all of them however fast the machine is.
            due = self._done() / RUNS >= 0.75 * (1 - len(events) / len(EVENTS)) and time.monotonic() - fired_at > pause
            if not due or (costs_a_start and self._stand() == stand):
                continue
            if self._fire(who, what):
                events.pop()
                fired_at, stand, pause = time.monotonic(), self._stand(), self.chance.uniform(0.0, QUIET_SECONDS)
            else:  # nobody there for it now
                events.insert(0, events.pop())
        while any(front_end.poll() is None for front_end in self.front_ends):
            time.sleep(0.05)
            self._watch(again=False)
        self._watch(again=False)

    def _stand(self) -> set[tuple[str, int]]:
        """The checkpoints and rows that there are now."""
        found = set()
        for path in [*self.folder.root.glob("state/*/checkpoint.pt"), *self.folder.singles("runs").glob("*.parquet")]:
            with contextlib.suppress(FileNotFoundError):
                found.add((path.as_posix(), path.stat().st_mtime_ns))
        return found

    def _done(self) -> int:
        return len(list(self.folder.singles("runs").glob("*.parquet")))

    def _finished(self) -> bool:
        return self._done() == RUNS

    def _watch(self, again: bool) -> None:
        workers = self._workers()
        self.most_workers = max(self.most_workers, len(workers))
        if len(workers) > JOBS:
            self.said.append("\n".join(["too many workers:", *map(processes.described, workers)]))
        for pid, until in list(self.stopped.items()):
            if time.monotonic() > until:
                del self.stopped[pid]
                self._send(pid, signal.SIGCONT)
        for number, front_end in enumerate(self.front_ends):
            if front_end.poll() is None:
                continue
            if front_end.stdout is not None and not front_end.stdout.closed:
                self.said.append("".join(front_end.communicate()))
            if again and not self._finished():
                self.front_ends[number] = self._front_end()

    def _fire(self, who: str, what: signal.Signals) -> bool:
        """Hit somebody of this kind; False where there is nobody."""
        pids = {
            "worker": self._workers,
            "controller": lambda: [parent for pid in self._workers() if (parent := processes.controller(pid))],
            "front end": lambda: [one.pid for one in self.front_ends if one.poll() is None],
        }[who]()
        free = [pid for pid in pids if pid not in self.stopped]
        if who == "front end" and what is signal.SIGINT:  # before it is itself, Python alone answers, with a traceback
            free = [pid for pid in free if processes.receives(pid, signal.SIGTERM)]
        if not free:
            return False
        pid = self.chance.choice(free)
        if what is signal.SIGSTOP:
            if len(free) < 2:  # the others go on meanwhile
                return False
            self.stopped[pid] = time.monotonic() + STOPPED_SECONDS
        self._send(pid, what)
        self.fired[f"{who} {what.name}"] += 1
        return True

    def _send(self, pid: int, what: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, what)

    def _workers(self) -> list[int]:
        return processes.workers(self.bench.results)

    def end(self) -> None:
        """Leave no process behind, whatever happened."""
        for pid in [*(one.pid for one in self.front_ends if one.poll() is None), *self._workers()]:
            self._send(pid, signal.SIGKILL)


def test_a_hundred_kills_and_freezes_change_no_bit(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> None:
    seed = int(os.environ.get("XSAM_FAULTS_SEED", random.SystemRandom().randrange(10**6)))
    print(f"XSAM_FAULTS_SEED={seed} draws the same events")  # shown where the test fails
    campaign = Campaign(bench, random.Random(seed))
    try:
        campaign.run()
    finally:
        campaign.end()
    print(f"events: {dict(campaign.fired)}")
    print("\n".join(campaign.said))

    plain = Bench(tmp_path_factory.mktemp("undisturbed"))
    undisturbed = plain.start("run", plain.write_grid(GRID), "--jobs", JOBS)
    output, error = undisturbed.communicate()  # as long as it takes
    assert undisturbed.returncode == 0, output + error
    assert campaign.fired.total() >= 100
    assert campaign.most_workers == JOBS, "as many as asked, never more"
    assert_same_numbers(bench.results, numbers(plain.results))
    rows = read(bench.results)
    assert list(rows["status"]) == ["done"] * RUNS
    assert rows["deaths"].isna().all()
    said = "\n".join(campaign.said)
    assert " failed" not in said, "no row was ever wrongly failed, not even for a while"
    assert "without getting on" not in said
    assert "Traceback" not in said
    assert rows["attempts"].sum() > RUNS + 40, "the events did hit runs"
    for run_id, attempts in zip(rows["run_id"], rows["attempts"], strict=True):
        log = campaign.folder.log(run_id).read_text()
        started = [int(number) for number in re.findall(r", attempt (\d+)$", log, re.MULTILINE)]
        assert max(started) == attempts, f"trained again after its row was written\n{log}"
        assert log.count("INFO done") <= 1, log  # not a word where the worker was killed right after it wrote the row
