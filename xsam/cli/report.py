"""``xsam-bench report``: tables and figures from results."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from xsam.cli import common
from xsam.cli.status import Names

DEFAULT_REPORTS = Path("reports")


def register(app: typer.Typer) -> None:
    app.command()(report)


def report(
    names: Names = [],  # noqa: B006
    results: common.Results = common.DEFAULT_RESULTS,
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
) -> None:
    """Make the tables and figures of every grid in a results folder, or of those named, and show the tables.

    Example: xsam-bench report quickstart --out reports
    """
    from xsam.report import analysis, terminal, write
    from xsam.report.claims.model import load_claims

    damages = common.Damages()
    chosen = [folder.name for folder, _ in common.stored_grids(results, names, damages)] if names else None
    console = common.console()
    with common.bad_input(ValueError, FileNotFoundError):
        further = [one for path in references for one in load_claims(path).published]
        own = None if claims is None else load_claims(claims)
        made = analysis.load_report(results, chosen, further, own, damages)
    if not made.grids:  # all that there is, is damaged
        return damages.leave()
    files = write.render(made, index=chosen is None, figures=figures, page=page, all_figures=all_figures)
    if check:
        stale = write.stale(files, out)
        for path in stale:
            console.print(f"out of date: {path}", markup=False, soft_wrap=True)
        return damages.leave(common.EXIT_INCOMPLETE if stale else 0)
    with common.bad_input(ValueError):
        written = write.write(files, out)
    for grid in made.grids:
        for table in grid.analyses:
            terminal.show(console, table)
    for folder, count in Counter(path.parent for path in written).items():
        console.print(f"wrote {count} files in {folder}", markup=False, soft_wrap=True)
    return damages.leave()
