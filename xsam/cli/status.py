"""``xsam-bench status``, ``failures``, ``logs`` and ``cancel``: how far runs are, what went wrong, how to end them."""

from __future__ import annotations

import codecs
import contextlib
import time
from collections import Counter
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table

from xsam.atomic import open_file
from xsam.cli import arguments, completion, named, terminal
from xsam.cli.progress import describe
from xsam.cli.terminal import BadInput
from xsam.grid import Grid
from xsam.launch import status as look
from xsam.launch.launcher import NEVER, LaunchError, explain
from xsam.launch.launcher import cancel as end
from xsam.store.layout import GridFolder

Names = Annotated[
    list[str],
    typer.Argument(
        metavar="[NAME]...", help="Grids by name; all where none is given.", autocompletion=completion.stored
    ),
]
Survey = tuple[GridFolder, list[look.RunStatus]]
Stored = list[tuple[GridFolder, Grid]]

FOLLOW_SECONDS = 0.5
MANY = 20  # pending runs, alike but for their name, are one line above this number


def status(
    names: Names = [],  # noqa: B006
    results: arguments.Results = arguments.DEFAULT_RESULTS,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on showing it, until nothing is left to wait for.")
    ] = False,
    every: Annotated[float, typer.Option(min=1.0, help="Seconds between two looks of --watch.")] = 10.0,
    as_json: arguments.AsJson = False,
) -> None:
    """Show how far every grid is, and why each of its runs that is not finished is not.

    On a cluster that is what the files say, explained by one call of squeue and one of sacct, however many jobs.

    Example: xsam-bench status quickstart
    """
    if as_json and watch:
        raise BadInput("--watch is for people, --json for programs: leave out one of them")
    damages = named.Damages()
    grids = named.stored_grids(results, names, damages)
    if as_json:
        seen = _surveys(grids, damages)
        terminal.print_json({folder.name: [state.to_json() for state in states] for folder, states in seen})
        return damages.leave()
    console = terminal.console()
    if not watch:
        console.print(_shown(grids, _surveys(grids, damages)))
        return damages.leave()
    with contextlib.suppress(KeyboardInterrupt), Live(console=console, auto_refresh=False) as live:
        while True:
            surveys = _surveys(grids, damages)
            live.update(_shown(grids, surveys), refresh=True)
            if not any(_goes_on(state) for _, states in surveys for state in states):
                break
            time.sleep(every)
    return damages.leave()


def _surveys(grids: Stored, damages: named.Damages) -> list[Survey]:
    seen = [(folder, look.survey(folder, grid.runs, damages)) for folder, grid in grids]
    return [(folder, states) for (folder, _), states in zip(seen, explain(seen), strict=True)]


def _goes_on(state: look.RunStatus) -> bool:
    """Whether somebody trains the run, or a job will."""
    return state.state == "running" or (state.why not in ("", NEVER) and not state.lost)


def _shown(grids: Stored, surveys: list[Survey]) -> RenderableType:
    parts: list[RenderableType] = []
    for (_, grid), (folder, states) in zip(grids, surveys, strict=True):
        parts.append(f"{folder.name}: {look.summary(states)}")
        table = Table.grid(padding=(0, 2))
        alike = Counter((state.state, state.why) for state in states if state.state == "pending")
        for state in states:
            if state.state in ("done", "diverged") or alike[state.state, state.why] > MANY:
                continue
            facts = [part for part in (state.last_line, state.why, describe(state, grid.report.metric)) if part]
            table.add_row("", state.state, state.run.run_id, look.name_of(state.run), "; ".join(facts))
        for (kind, why), count in alike.items():
            if count > MANY:
                table.add_row("", kind, f"{count} runs", "", why)
        if table.row_count:
            parts.append(table)
    return Group(*parts)


def failures(
    names: Names = [],  # noqa: B006
    results: arguments.Results = arguments.DEFAULT_RESULTS,
    as_json: arguments.AsJson = False,
) -> None:
    """Show the traceback of every failed run and what ended the jobs of others. Exit status 1 where there is one.

    Example: xsam-bench failures quickstart
    """
    damages = named.Damages()
    failed = [
        (folder, state)
        for folder, states in _surveys(named.stored_grids(results, names, damages), damages)
        for state in states
        if state.state == "failed" or state.lost
    ]
    if as_json:
        terminal.print_json(
            [{"grid": folder.name, "log": str(folder.log(one.run.run_id)), **one.to_json()} for folder, one in failed]
        )
    else:
        for folder, one in failed:
            terminal.say(f"{folder.name} {one.run.run_id} {look.name_of(one.run)}\n  log: {folder.log(one.run.run_id)}")
            terminal.say("".join(f"  {line}\n" for line in (one.error or one.why).strip().splitlines()))
        if not failed:
            print("no failed runs")
    return damages.leave(terminal.EXIT_INCOMPLETE if failed else 0)


def logs(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN", help="A run's id, or its first digits.", show_default=False, autocompletion=completion.runs
        ),
    ],
    results: arguments.Results = arguments.DEFAULT_RESULTS,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on printing until the run is finished.")] = False,
) -> None:
    """Print a run's log.

    Example: xsam-bench logs 3f2a9c
    """
    damages = named.Damages()
    folder, spec = named.find_run(results, run, damages)
    path = folder.log(spec.run_id)
    if not path.exists() and not follow:
        raise BadInput(f"{path}: no log; the run was never started here")
    position, decoder = 0, codecs.getincrementaldecoder("utf-8")(errors="replace")
    with contextlib.suppress(KeyboardInterrupt), terminal.bad_input(OSError):
        while True:
            over = not follow or look.status(folder, spec).state in look.FINISHED
            with contextlib.suppress(FileNotFoundError), open_file(path) as file:
                file.seek(position)
                terminal.say(decoder.decode(file.read(), final=over), end="")
                position = file.tell()
            if over:
                break
            time.sleep(FOLLOW_SECONDS)
    return damages.leave()


def cancel(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...",
            help="Grids by name.",
            show_default=False,
            autocompletion=completion.stored,
        ),
    ],
    results: arguments.Results = arguments.DEFAULT_RESULTS,
) -> None:
    """End the jobs and workers of grids: running runs are saved, and another ``run`` goes on with them.

    Example: xsam-bench cancel quickstart
    """
    damages = named.Damages()
    for folder, grid in named.stored_grids(results, names, damages):
        with terminal.bad_input(LaunchError):
            terminal.say(f"{grid.name}: {end(folder, grid.runs)}")
    return damages.leave()
