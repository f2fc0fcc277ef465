"""``xsam-bench compare``: two results folders side by side."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xsam.cli import arguments, named, terminal
from xsam.cli.terminal import BadInput

if TYPE_CHECKING:
    from xsam.report.changes import Change


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="A results folder.", show_default=False)],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another one.", show_default=False)],
    margin: Annotated[
        float | None,
        typer.Option(help="A difference up to this does not matter, in the unit of each metric.", show_default=False),
    ] = None,
    as_json: arguments.AsJson = False,
) -> None:
    """Show which cells moved from one results folder to another, and which of their parameters differ.

    Cells are matched by their grid, table and place; differences are B minus A, paired by seed, adjusted for the number
    of cells that are not identical. Exit status 1 where a cell is better or worse than it was.

    Example: xsam-bench compare results-before results
    """
    from xsam.report import changes
    from xsam.report.analysis import load_report
    from xsam.report.terminal import show_sheet

    if margin is not None and not 0 < margin < float("inf"):
        raise BadInput(f"--margin must be a number above 0, not {margin:g}")
    damages = named.Damages()
    with terminal.bad_input(ValueError):
        before, after = (load_report(folder, on_damage=damages) for folder in (first, second))
        found = changes.changes(before, after, margin)
    if not found:
        raise BadInput(f"{first} and {second} have no cell in common: the same grid and table must be in both")
    if as_json:
        terminal.print_json([_entry(one) for one in found])
    else:
        console = terminal.console()
        show_sheet(console, changes.changes_sheet(found), f"{first} → {second}")
        for line in changes.parameter_lines(found):
            terminal.say(f"parameters differ: {line}")
        console.print(", ".join(f"{count} {name}" for name, count in Counter(one.verdict for one in found).items()))
    damages.leave(terminal.EXIT_INCOMPLETE if any(one.moved for one in found) else 0)


def _entry(one: Change) -> dict[str, object]:
    found, answer = one.difference, one.answer
    return {
        "grid": one.first.grid,
        "table": one.first.report.name,
        "cell": one.where,
        "difference": found.mean,
        "low": found.low,
        "high": found.high,
        "pairs": found.n,
        "failed": [found.reference_failed, found.failed],
        "adjusted_p": None if answer is None else answer.adjusted_p,
        "detectable": found.detectable,
        "seeds_needed": None if answer is None else answer.seeds,
        "verdict": one.verdict,
        "parameters": {name: list(pair) for name, pair in one.parameters.items()},
    }
