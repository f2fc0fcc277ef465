"""What every program in this folder shares: alternating timed blocks, figures with targets, the options."""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from xsam.report.formats import Sheet, Text, markdown_table

Step = Callable[[], object]


def alternate(steps: Mapping[str, Step], rounds: int, block: int) -> dict[str, float]:
    """Median seconds of one call of each side, measured in turns so that a slow moment of the machine hits all alike.

    Args:
        steps: name → what is timed.
        rounds: how often every side has its turn (one more, untimed, warms up).
        block: calls counted in one turn. With several, one more goes before them uncounted, since it finds another
            side's data in the caches; steps of seconds do not need that.
    """
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 1):
        for name, step in steps.items():
            uncounted = 1 if block > 1 else 0
            for call in range(uncounted + block):
                start = time.perf_counter()
                step()
                if turn and call >= uncounted:
                    seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


@dataclass(frozen=True)
class Target:
    """A limit that a figure must keep: at most, or at least, ``limit``."""

    limit: float
    at_most: bool = True

    def kept(self, value: float) -> bool:
        """Whether ``value`` is within the limit."""
        return value <= self.limit if self.at_most else value >= self.limit

    def __str__(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.limit:g}"


def options(description: str | None) -> argparse.ArgumentParser:
    """The options of every program: ``--json FILE``, ``--write FILE`` and ``--check``."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the figures as a Markdown table")
    parser.add_argument("--check", action="store_true", help="exit status 1 when a target is missed")
    return parser


def finish(figures: Mapping[str, float], targets: Mapping[str, Target], arguments: argparse.Namespace) -> None:
    """Print the figures against their targets, write them where asked, and end the program."""
    width = max(len(name) for name in figures)
    for name, value in figures.items():
        target = targets.get(name)
        verdict = "" if target is None else f"  {target}  {'kept' if target.kept(value) else 'MISSED'}"
        print(f"{name:{width}}  {value:8.3f}{verdict}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"figures": dict(figures)}, indent=2) + "\n", encoding="utf-8")
    if arguments.write:
        arguments.write.write_text(_page(figures, targets), encoding="utf-8")
    missed = [name for name, target in targets.items() if not target.kept(figures[name])]
    sys.exit(1 if arguments.check and missed else 0)


def _page(figures: Mapping[str, float], targets: Mapping[str, Target]) -> str:
    """The figures as a page of Markdown that says how it was made."""
    module, options = sys.modules["__main__"].__spec__, list(sys.argv[1:])
    place = options.index("--write")
    del options[place : place + 2]
    rows = tuple(
        (Text(name), Text(f"{value:.3f}"), Text(str(targets[name]) if name in targets else ""))
        for name, value in figures.items()
    )
    command = shlex.join(["python", "-m", module.name if module else sys.argv[0], *options])
    table = markdown_table(Sheet("figures", "", ("figure", "value", "target"), 1, rows))
    return f"Written by `{command}`.\n\n{table}\n"
