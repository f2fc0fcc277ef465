"""Run the tests of faults, signals, leases and clusters again and again, alone and beside busy processes, and count.

    python -m tests.repeat TIMES [--where alone|beside] [--together N] [ARGUMENTS OF PYTEST...]

A test that depends on how fast a run is fails in some of the rounds. Ends with status 1 where any test failed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

BUSY = 2  # processes that take what they get of the cores
Outcomes = Counter[tuple[str, str]]  # of an outcome and a test


@contextlib.contextmanager
def running(command: list[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process of this command, ended at the end where it still runs."""
    process = subprocess.Popen(command, **options)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def run_rounds(arguments: list[str], folder: Path, count: int, beside: int) -> list[Outcomes]:
    """How often each test came to each outcome, in each of so many rounds at a time beside so many busy processes."""
    places = [folder / str(lane) for lane in range(count)]
    with contextlib.ExitStack() as stack:
        for _ in range(beside):
            stack.enter_context(running([sys.executable, "-c", "while True: pass"]))
        rounds = []
        for lane, place in enumerate(places):
            place.mkdir(exist_ok=True)
            (place / "report.xml").unlink(missing_ok=True)
            command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
            command += [f"--basetemp={place / 'tests'}", f"--junitxml={place / 'report.xml'}"]
            # A name as those of pytest-xdist's workers: tests take ports by it.
            environment = {**os.environ, "PYTEST_XDIST_WORKER": f"gw{lane}"}
            output = stack.enter_context((place / "output").open("wb"))
            rounds.append(
                stack.enter_context(running(command, stdout=output, stderr=subprocess.STDOUT, env=environment))
            )
        for process in rounds:
            process.wait()
    return [outcomes_in(place) for place in places]


def outcomes_in(place: Path) -> Outcomes:
    """What the report of one round says; its output is printed where a test failed."""
    output = (place / "output").read_text(encoding="utf-8", errors="replace")
    if not (place / "report.xml").exists():
        raise SystemExit(output)
    outcomes: Outcomes = Counter()
    for case in ElementTree.parse(place / "report.xml").iter("testcase"):
        kinds = {child.tag for child in case}
        outcome = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        outcomes[outcome, f"{case.get('classname')}::{case.get('name')}"] += 1
    if any(outcome == "failed" for outcome, _ in outcomes):
        print(output, flush=True)
    return outcomes


def counts(outcomes: Outcomes) -> str:
    """Such as "87 passed, 1 failed"."""
    totals: Counter[str] = Counter()
    for (outcome, _), count in outcomes.items():
        totals[outcome] += count
    return ", ".join(f"{totals[outcome]} {outcome}" for outcome in ("passed", "failed", "skipped") if totals[outcome])


def summary(where: str, rounds: int, times: int, total: Outcomes) -> list[str]:
    """What came of the rounds so far, and which tests failed how often."""
    failed = sorted((name, count) for (outcome, name), count in total.items() if outcome == "failed")
    return [
        f"{where}, {rounds} of {times} rounds: {counts(total)}",
        *(f"  {name} failed {count} of {rounds} times" for name, count in failed),
    ]


def main(words: list[str]) -> int:
    """Run all rounds, alone and beside busy processes in turn; returns the exit status.

    The totals so far are printed after every round, so a run that is cut off has said what it found.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.repeat")
    parser.add_argument("times", type=int)
    parser.add_argument("--where", choices=("alone", "beside"), help="only there; both in turn otherwise")
    parser.add_argument("--together", type=int, default=1, help="so many rounds beside busy processes at a time")
    options, arguments = parser.parse_known_args(words)
    others = f" and other rounds, {options.together} in all" if options.together > 1 else ""
    places = {"alone": ("alone", 0, 1), "beside": (f"beside {BUSY} busy processes{others}", BUSY, options.together)}
    totals: dict[str, Outcomes] = {}
    done: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        while due := [name for name in places if options.where in (None, name) and done[name] < options.times]:
            name = min(due, key=lambda place: done[place])
            where, beside, together = places[name]
            started = time.monotonic()
            found = run_rounds(arguments, Path(folder), min(together, options.times - done[name]), beside)
            seconds = time.monotonic() - started
            for outcomes in found:
                done[name] += 1
                totals[where] = totals.get(where, Counter()) + outcomes
                said = f"{where}, round {done[name]} of {options.times}: {counts(outcomes)} in {seconds:.0f} s"
                print(said, flush=True)
            print("\n".join(summary(where, done[name], options.times, totals[where])), flush=True)
    return int(any(outcome == "failed" for total in totals.values() for outcome, _ in total))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that processes are ended
    sys.exit(main(sys.argv[1:]))
