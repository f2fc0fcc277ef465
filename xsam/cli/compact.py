"""``xsam-bench compact``: few large files in place of many small ones."""

from __future__ import annotations

import typer

from xsam import store
from xsam.cli import common
from xsam.cli.status import Names
from xsam.store.layout import TABLES


def register(app: typer.Typer) -> None:
    app.command()(compact)


def compact(
    names: Names = [],  # noqa: B006
    results: common.Results = common.DEFAULT_RESULTS,
    as_json: common.InJson = False,
) -> None:
    """Merge the files of finished runs into one file a table. Changes no row, and leaves runs alone that go on.

    Workers may train meanwhile. Killed at any point, it has lost nothing; the same command again does the rest.

    Example: xsam-bench compact quickstart
    """
    damages = common.Damages()
    told = []
    for folder, grid in common.stored_grids(results, names, damages):
        with common.bad_input(ValueError):
            merged = store.compact(folder, damages)
            ended = store.finished_runs(folder, damages)
        unfinished = [run.run_id for run in grid.runs if run.run_id not in ended]
        kept = f"; left {len(unfinished)} unfinished alone" if unfinished else ""
        common.say(f"{grid.name}: merged the files of {merged} runs{kept}", error=as_json)
        files = [str(path) for path in map(folder.compacted, TABLES) if path.exists()]
        told.append({"grid": folder.name, "merged": merged, "unfinished": unfinished, "files": files})
    if as_json:
        common.print_json({"grids": told, "damaged": [str(path) for path in damages.paths]})
    return damages.leave()
