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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

BUSY = 2  # processes that take what they get of the cores
Outcomes = Counter[tuple[str, str]]  # of an outcome and a test


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """Beside so many processes that never wait."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def run_once(arguments: list[str], folder: Path, lane: int) -> Outcomes:
    """How often each test came to each outcome, in one round; rounds of other lanes may run at the same time."""
    report, own = folder / f"report{lane}.xml", folder / f"tests{lane}"
    report.unlink(missing_ok=True)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--basetemp={own}",
        f"--junitxml={report}",
    ]
    # A name as those of pytest-xdist's workers: tests take ports by it.
    environment = {**os.environ, "PYTEST_XDIST_WORKER": f"gw{lane}"}
    done = subprocess.run(
        [*command, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env=environment,
    )
    if not report.exists():
        raise SystemExit(done.stdout)
    outcomes: Outcomes = Counter()
    for case in ElementTree.parse(report).iter("testcase"):
        kinds = {child.tag for child in case}
        outcome = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        outcomes[outcome, f"{case.get('classname')}::{case.get('name')}"] += 1
    if any(outcome == "failed" for outcome, _ in outcomes):
        print(done.stdout, flush=True)
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
    others = f" and {options.together - 1} other rounds" if options.together > 1 else ""
    places = {"alone": ("alone", 0, 1), "beside": (f"beside {BUSY} busy processes{others}", BUSY, options.together)}
    totals: dict[str, Outcomes] = {}
    done: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.together) as pool:
        while True:
            due = [name for name in places if options.where in (None, name) and done[name] < options.times]
            if not due:
                break
            name = min(due, key=lambda place: done[place])
            where, beside, together = places[name]
            lanes = range(min(together, options.times - done[name]))
            started = time.monotonic()
            with busy(beside):
                found = list(pool.map(lambda lane: run_once(arguments, Path(folder), lane), lanes))
            seconds = time.monotonic() - started
            for outcomes in found:
                done[name] += 1
                totals[where] = totals.get(where, Counter()) + outcomes
                print(
                    f"{where}, round {done[name]} of {options.times}: {counts(outcomes)} in {seconds:.0f} s", flush=True
                )
            print("\n".join(summary(where, done[name], options.times, totals[where])), flush=True)
    return int(any(outcome == "failed" for total in totals.values() for outcome, _ in total))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that busy processes are ended
    sys.exit(main(sys.argv[1:]))
