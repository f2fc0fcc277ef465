"""``xsam-bench report``: tables and figures from results."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xsam.cli import arguments, named, terminal
from xsam.cli.status import Names

if TYPE_CHECKING:
    from xsam.report.analysis import GridReport, Report

DEFAULT_REPORTS = Path("reports")


def report(
    names: Names = [],  # noqa: B006
    results: arguments.Results = arguments.DEFAULT_RESULTS,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the reports.")] = DEFAULT_REPORTS,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit status 1 where a report is out of date.")
    ] = False,
    references: Annotated[
        list[Path],
        typer.Option("--references", metavar="FILE", help="A file with further published values to compare with."),
    ] = [],  # noqa: B006
    claims: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Judge these claims in place of the paper's.", show_default=False),
    ] = None,
    figures: Annotated[bool, typer.Option("--figures/--no-figures", help="Draw the figures too.")] = True,
    all_figures: Annotated[
        bool, typer.Option("--all-figures", help="Draw every figure, and not only some of every kind.")
    ] = False,
    page: Annotated[bool, typer.Option("--page/--no-page", help="Write the page of all grids too.")] = True,
    as_json: arguments.InJson = False,
) -> None:
    """Make the tables and figures of every grid in a results folder, or of those named, and show the tables.

    Example: xsam-bench report quickstart --out reports
    """
    from xsam.report import analysis, write
    from xsam.report.claims.model import load_claims
    from xsam.report.terminal import show

    named.refuse_file(results, "--results")
    named.refuse_file(out, "--out")
    damages = named.Damages()
    chosen = [folder.name for folder, _ in named.stored_grids(results, names, damages)] if names else None
    console = terminal.console(error=as_json)
    with terminal.bad_input(ValueError, FileNotFoundError):
        further = [one for path in references for one in load_claims(path).published]
        own = None if claims is None else load_claims(claims)
        made = analysis.load_report(results, chosen, further, own, damages)
    if not made.grids:  # all that there is, is damaged
        if as_json:
            terminal.print_json(_outcome(made, damages))
        return damages.leave()
    files = write.render(made, index=chosen is None, figures=figures, page=page, all_figures=all_figures)
    if check:
        with terminal.bad_input(ValueError):
            stale = write.stale(files, out)
        for path in stale:
            console.print(f"out of date: {path}", markup=False, soft_wrap=True)
        if as_json:
            terminal.print_json({**_outcome(made, damages), "stale": [str(path) for path in stale]})
        return damages.leave(terminal.EXIT_INCOMPLETE if stale else 0)
    with terminal.bad_input(ValueError):
        written = write.write(files, out)
    for grid in made.grids:
        for table in grid.analyses:
            show(console, table)
    for folder, count in Counter(path.parent for path in written).items():
        console.print(f"wrote {count} files in {folder}", markup=False, soft_wrap=True)
    if as_json:
        terminal.print_json({**_outcome(made, damages), "written": [str(path) for path in written]})
    return damages.leave()


def _outcome(made: Report, damages: named.Damages) -> dict[str, Any]:
    """What was reported, for programs: each grid's planned runs by what became of them."""
    return {
        "grids": [_grid(one) for one in made.grids],
        "written": [],
        "stale": [],
        "damaged": [str(path) for path in damages.paths],
    }


def _grid(one: GridReport) -> dict[str, Any]:
    ends = dict(zip(one.runs["run_id"], one.runs["status"], strict=True))
    states = {run.run_id: ends.get(run.run_id, "missing") for run in one.grid.runs}
    counts = Counter(states.values())
    return {
        "grid": one.grid.name,
        "tables": [analysis.table.report.name for analysis in one.analyses],
        "counts": {state: counts[state] for state in ("done", "diverged", "failed", "missing")},
        "failed": [run_id for run_id, state in states.items() if state == "failed"],
        "missing": [run_id for run_id, state in states.items() if state == "missing"],
        "not_in_grid": sorted({run_id for analysis in one.analyses for run_id in analysis.table.strangers}),
    }
