"""``xsam-bench doctor``: what works here, and what to do about what does not."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from xsam.cli import arguments, devices, named, terminal


def doctor(
    results: arguments.Results = arguments.DEFAULT_RESULTS,
    data: arguments.Data = arguments.DEFAULT_DATA,
    grid_file: Annotated[
        Path | None,
        typer.Option("--grid", metavar="GRID", help="A grid file: exit status 1 where its runs lack something."),
    ] = None,
    as_json: arguments.AsJson = False,
) -> None:
    """Say what of Python, libraries, GPU, SLURM, disk and data works here, and what to do for the rest.

    Data sets are as they were when they were prepared; 'xsam-bench data verify NAME' reads one from end to end.

    Example: xsam-bench doctor --grid quickstart
    """
    runs = () if grid_file is None else named.load(grid_file, (), (), data)[1]
    from xsam.doctor import examine, needs_of

    found = list(examine(results, data, devices.available_cores(), needs_of(runs) if runs else None))
    missing = [item.name for item in found if item.state == "missing"]
    if as_json:
        terminal.print_json({"ok": not missing, "items": [{**asdict(item), "state": item.state} for item in found]})
    else:
        width = max(len(item.name) for item in found)
        for item in found:
            terminal.say(
                f"{item.state:7}  {item.name:{width}}  {item.facts}{f': {item.advice}' if item.advice else ''}"
            )
        if grid_file is not None:
            terminal.say(f"{grid_file}: " + (f"missing: {', '.join(missing)}" if missing else "nothing is missing"))
    raise typer.Exit(terminal.EXIT_INCOMPLETE if missing else 0)
