"""``xsam-bench compare``: two results folders side by side."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xsam.cli import common
from xsam.cli.common import BadInput

if TYPE_CHECKING:
    from xsam.report.moved import Move


def register(app: typer.Typer) -> None:
    app.command()(compare)


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="A results folder.", show_default=False)],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another one.", show_default=False)],
    as_json: common.AsJson = False,
    check: Annotated[bool, typer.Option("--check", help="Exit status 1 where a cell moved beyond noise.")] = False,
) -> None:
    """Show which cells moved from one results folder to another, and whether beyond noise.

    Cells are matched by their grid, table and place; differences are B minus A, paired by seed.

    Example: xsam-bench compare results-before results
    """
    from xsam.report import moved
    from xsam.report.analysis import load_report
    from xsam.report.terminal import show_sheet

    with common.bad_input(ValueError):
        found = moved.moves(load_report(first), load_report(second))
    if not found:
        raise BadInput(f"{first} and {second} have no cell in common: the same grid and table must be in both")
    if as_json:
        common.print_json([_entry(one) for one in found])
    else:
        console = common.console()
        show_sheet(console, moved.moved_sheet(found), f"{first} → {second}")
        console.print(", ".join(f"{count} {name}" for name, count in Counter(one.verdict for one in found).items()))
    if check and any(one.verdict in moved.BEYOND_NOISE for one in found):
        raise typer.Exit(common.EXIT_INCOMPLETE)


def _entry(one: Move) -> dict[str, object]:
    found = one.difference
    return {
        "grid": one.first.grid,
        "table": one.first.report.name,
        "cell": one.where,
        "difference": found.mean,
        "low": found.low,
        "high": found.high,
        "pairs": found.n,
        "adjusted_p": one.adjusted_p,
        "detectable": found.detectable,
        "verdict": one.verdict,
    }
