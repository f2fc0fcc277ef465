"""Run the tests of faults, signals, leases and clusters again and again, alone and beside busy processes, and count.

    python -m tests.repeat TIMES [ARGUMENTS OF PYTEST...]

A test that depends on how fast a run is fails in some of the rounds. Ends with status 1 where any test failed.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

BUSY = 2  # processes that take what they get of the cores


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


def run_once(arguments: list[str], folder: Path) -> Counter[tuple[str, str]]:
    """How often each test came to each outcome, in one round."""
    report = folder / "report.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if not report.exists():
        raise SystemExit(done.stdout)
    outcomes: Counter[tuple[str, str]] = Counter()
    for case in ElementTree.parse(report).iter("testcase"):
        kinds = {child.tag for child in case}
        outcome = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        outcomes[outcome, f"{case.get('classname')}::{case.get('name')}"] += 1
    if any(outcome == "failed" for outcome, _ in outcomes):
        print(done.stdout, flush=True)
    return outcomes


def counts(outcomes: Counter[tuple[str, str]]) -> str:
    """Such as "87 passed, 1 failed"."""
    totals: Counter[str] = Counter()
    for (outcome, _), count in outcomes.items():
        totals[outcome] += count
    return ", ".join(f"{totals[outcome]} {outcome}" for outcome in ("passed", "failed", "skipped") if totals[outcome])


def summary(where: str, rounds: int, times: int, total: Counter[tuple[str, str]]) -> list[str]:
    """What came of the rounds so far, and which tests failed how often."""
    failed = sorted((name, count) for (outcome, name), count in total.items() if outcome == "failed")
    return [
        f"{where}, {rounds} of {times} rounds: {counts(total)}",
        *(f"  {name} failed {count} of {rounds} times" for name, count in failed),
    ]


def main(times: int, arguments: list[str]) -> int:
    """Run all rounds, alone and beside busy processes in turn; returns the exit status.

    The totals so far are printed after every round, so a run that is cut off has said what it found.
    """
    totals: dict[str, Counter[tuple[str, str]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(1, times + 1):
            for where, beside in (("alone", 0), (f"beside {BUSY} busy processes", BUSY)):
                started = time.monotonic()
                with busy(beside):
                    found = run_once(arguments, Path(folder))
                totals[where] = totals.get(where, Counter()) + found
                seconds = time.monotonic() - started
                print(f"{where}, round {number} of {times}: {counts(found)} in {seconds:.0f} s", flush=True)
                print("\n".join(summary(where, number, times, totals[where])), flush=True)
    return int(any(outcome == "failed" for total in totals.values() for outcome, _ in total))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that busy processes are ended
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
