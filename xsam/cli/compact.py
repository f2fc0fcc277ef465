"""``xsam-bench compact``: few large files in place of many small ones."""

from __future__ import annotations

from xsam import store
from xsam.cli import arguments, named, terminal
from xsam.cli.status import Names
from xsam.store.layout import TABLES


def compact(
    names: Names = [],  # noqa: B006
    results: arguments.Results = arguments.DEFAULT_RESULTS,
    as_json: arguments.InJson = False,
) -> None:
    """Merge the files of finished runs into one file a table. Changes no row, and leaves runs alone that go on.

    Workers may train meanwhile. Killed at any point, it has lost nothing; the same command again does the rest.

    Example: xsam-bench compact quickstart
    """
    damages = named.Damages()
    told = []
    for folder, grid in named.stored_grids(results, names, damages):
        with terminal.bad_input(ValueError):
            merged = store.compact(folder, damages)
            ended = store.finished_runs(folder, damages)
        unfinished = [run.run_id for run in grid.runs if run.run_id not in ended]
        kept = f"; left {len(unfinished)} unfinished alone" if unfinished else ""
        terminal.say(f"{grid.name}: merged the files of {merged} runs{kept}", error=as_json)
        files = [str(path) for path in map(folder.compacted, TABLES) if path.exists()]
        told.append({"grid": folder.name, "merged": merged, "unfinished": unfinished, "files": files})
    if as_json:
        terminal.print_json({"grids": told, "damaged": [str(path) for path in damages.paths]})
    return damages.leave()
