"""``xsam-bench tune``: choose what a grid leaves open, on validation accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from xsam import templates
from xsam.cli import arguments, named, run, terminal
from xsam.grid import Grid, GridError, select
from xsam.grid.expand import grid_of
from xsam.grid.load import load_document
from xsam.launch import status
from xsam.store.layout import GridFolder
from xsam.tasks import own


def tune(
    grid_file: arguments.GridFile,
    results: arguments.Results = arguments.DEFAULT_RESULTS,
    data: arguments.Data = arguments.DEFAULT_DATA,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="The new grid file; by default GRID_tuned.yaml beside GRID, or here."
        ),
    ] = None,
    launcher: run.Launch = "local",
    profile: run.Profile = None,
    jobs: run.Jobs = None,
    only: arguments.Only = [],  # noqa: B006
    retry_failed: run.RetryFailed = False,
    checkpoint_seconds: run.CheckpointSeconds = run.DEFAULT_CHECKPOINT_SECONDS,
    device: arguments.Device = "auto",
    as_json: arguments.InJson = False,
) -> None:
    """Choose learning rate, radius and the like for every method of a grid, and write the grid with them.

    The grid's block 'tune' says which values to try on which seeds. Its runs are a grid of their own, NAME@tune; the
    same command goes on where it was stopped. Only the validation part is looked at.

    Example: xsam-bench tune cpu/single_step_digits --only optimizer=sam
    """
    given, grid_file = grid_file, named.packaged(grid_file, templates.grids(), "grid")
    own.enter(data)
    with terminal.bad_input(GridError):
        document, plan = load_document(grid_file)
        runs = select(grid_of(document, plan), only)
    if out is not None and out.is_dir():  # said before hours of training, not after
        raise terminal.BadInput(
            f"--out {out}: is a folder; give the file of the new grid, such as {out / 'tuned.yaml'}"
        )
    from xsam.store.tuning import SUFFIX
    from xsam.tune import TuningFailed, record_of, write
    from xsam.tune import tune as search

    console = terminal.console(error=as_json)
    train = run.Training(results, data, launcher, jobs, retry_failed, checkpoint_seconds, device, console, profile)
    folder = GridFolder(results, f"{document.name}{SUFFIX}")
    with terminal.bad_input(GridError, OSError):
        try:
            tuned = search(document, plan, runs, folder, train)
        except TuningFailed as error:
            console.print(str(error), markup=False)
            if as_json:
                terminal.print_json(_outcome(folder, str(error)))
            raise typer.Exit(terminal.EXIT_INCOMPLETE) from None
        # Beside the user's file; of a grid that comes with the package, here.
        beside = grid_file if grid_file == given else Path(grid_file.name)
        written = write(tuned, grid_file, out or beside.with_name(f"{grid_file.stem}_tuned.yaml"), folder)
    if as_json:
        terminal.print_json(
            {**_outcome(folder), "tuning": record_of(tuned).to_json(), "written": [str(path) for path in written]}
        )
    table = Table("", *tuned.tuning.names, f"{tuned.tuning.metric.name} ({tuned.tuning.rule})", "on the edge of")
    for choice in tuned.choices:
        chosen = [f"{choice.params[name]:g}" if name in choice.params else "–" for name in tuned.tuning.names]
        table.add_row(choice.group.name, *chosen, f"{choice.winner.mean:.2f}", ", ".join(choice.edges))
    console.print(table)
    for path in written:
        console.print(f"wrote {path}", markup=False)


def _outcome(folder: GridFolder, error: str | None = None) -> dict[str, Any]:
    """How the runs of the search stand, for programs, and why there is no choice where there is none."""
    try:
        runs = Grid.load(folder.grid_json).runs
    except FileNotFoundError:
        runs = ()
    return {**run.outcome(folder, status.survey(folder, runs)), "error": error, "tuning": None, "written": []}
