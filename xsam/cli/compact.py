"""``xsam-bench compact``: few large files in place of many small ones."""

from __future__ import annotations

import typer

from xsam import store
from xsam.cli import common
from xsam.cli.status import Names


def register(app: typer.Typer) -> None:
    app.command()(compact)


def compact(
    names: Names = [],  # noqa: B006
    results: common.Results = common.DEFAULT_RESULTS,
) -> None:
    """Merge the files of finished runs into one file a table. Changes no row, and leaves runs alone that go on.

    Workers may train meanwhile. Killed at any point, it has lost nothing; the same command again does the rest.

    Example: xsam-bench compact quickstart
    """
    damages = common.Damages()
    for folder, grid in common.stored_grids(results, names, damages):
        with common.bad_input(ValueError):
            merged = store.compact(folder, damages)
            ended = store.finished_runs(folder, damages)
        unfinished = sum(run.run_id not in ended for run in grid.runs)
        kept = f"; left {unfinished} unfinished alone" if unfinished else ""
        common.say(f"{grid.name}: merged the files of {merged} runs{kept}")
    return damages.leave()
