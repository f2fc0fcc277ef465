"""``xsam-bench runs``, ``show``, ``rm``, ``merge`` and ``export``: stored runs, one by one and as tables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from xsam.atomic import write_bytes
from xsam.cli import arguments, bundle, completion, named, terminal
from xsam.cli.status import Names
from xsam.cli.terminal import BadInput
from xsam.grid import Grid, GridError, RunSpec, select
from xsam.launch import status as look
from xsam.parameters import close_to, nearest
from xsam.store.layout import TABLES, GridFolder, grids

Run = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="A run's id, or its first digits.", show_default=False, autocompletion=completion.runs
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def runs(
    names: Names = [],  # noqa: B006
    results: arguments.Results = arguments.DEFAULT_RESULTS,
    only: arguments.Only = [],  # noqa: B006
    state: Annotated[
        str | None, typer.Option("--status", metavar="STATE", help=f"Only these: {', '.join(look.STATES)}.")
    ] = None,
    ids: Annotated[bool, typer.Option("--ids", help="Print ids alone, one a line.")] = False,
    as_json: arguments.AsJson = False,
) -> None:
    """List runs with their ids and states: all of every grid, or those that the options leave.

    Example: xsam-bench runs quickstart --only optimizer=xsam --status done
    """
    if state is not None and state not in look.STATES:
        raise BadInput(f"unknown status {state!r}{nearest(state, look.STATES)}")
    if ids and as_json:
        raise BadInput("--ids and --json print different things: leave out one of them")
    damages = named.Damages()
    found = [
        (folder, one)
        for folder, grid in named.stored_grids(results, names, damages)
        for one in look.survey(folder, _chosen(grid, only, bool(names)), damages)
        if state in (None, one.state)
    ]
    if as_json:
        terminal.print_json([{"grid": folder.name, **one.to_json()} for folder, one in found])
    elif ids:
        for _, one in found:
            terminal.say(one.run.run_id)
    else:
        table = Table.grid(padding=(0, 2))
        for folder, one in found:
            table.add_row(folder.name, one.run.run_id, one.state, look.name_of(one.run))
        terminal.console().print(table if found else "no such run")
    return damages.leave()


def _chosen(grid: Grid, only: Sequence[str], by_name: bool) -> Sequence[RunSpec]:
    """The grid's runs that ``only`` leaves; none of a grid that was not named and does not have what it asks for."""
    try:
        return select(grid, only)
    except GridError as error:
        if by_name:
            raise BadInput(str(error)) from None
        return ()


def show(run: Run, results: arguments.Results = arguments.DEFAULT_RESULTS, as_json: arguments.AsJson = False) -> None:
    """Show all of one run: its parameters, how it ended, what was measured, what it cost, where it comes from.

    Example: xsam-bench show 3f2a9c
    """
    damages = named.Damages()
    folder, spec = named.find_run(results, run, damages)
    one = look.status(folder, spec)
    row = _row(folder, spec.run_id, damages)
    parts = _parts(row)
    if as_json:
        terminal.print_json({"grid": folder.name, **one.to_json(), **parts})
        return damages.leave()
    terminal.say(f"{folder.name} {spec.run_id} {look.name_of(spec)}: {one.state}")
    for title, values in (("parameters", dict(spec.params)), *parts.items()):
        if values:
            terminal.say(f"{title}:")
            width = max(map(len, values))
            for name, value in values.items():
                text = value if isinstance(value, str) else json.dumps(value)
                terminal.say(f"  {name:{width}}  {text}")
    if one.error:
        terminal.say(f"error:\n{one.error.strip()}")
    for title, path in (("log", folder.log(spec.run_id)), ("checkpoint", folder.checkpoint(spec.run_id))):
        if path.exists():
            terminal.say(f"{title}: {path}")
    return damages.leave()


_COST = ("forwards", "backwards", "wall_seconds", "train_seconds", "eval_seconds", "search_seconds")
_END = ("started_at", "finished_at", "attempts", "resumed_from_step", "skipped_steps", "note")
_SIZE = ("peak_memory_bytes", "parameters")


def _row(folder: GridFolder, run_id: str, damages: named.Damages) -> dict[str, Any]:
    if not folder.has_rows("runs"):
        return {}
    from xsam.store import read

    with terminal.bad_input(ValueError):
        rows = read(folder.results, "runs", [folder.name], on_damage=damages)
    chosen = rows[rows["run_id"] == run_id].dropna(axis="columns")
    return {} if chosen.empty else {str(name): _plain(value) for name, value in chosen.to_dict("records")[0].items()}


def _plain(value: Any) -> Any:
    """A value of a frame as JSON has it."""
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value.item() if hasattr(value, "item") else value


def _parts(row: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """A row's values by what they are about."""
    from xsam.store.schema import metric_columns

    return {
        "metrics": {name: row[name] for name in row if name in metric_columns()},
        "cost": {name: row[name] for name in (*_COST, *_SIZE) if name in row},
        "end": {name: row[name] for name in _END if name in row},
        "provenance": {k: v for k, v in json.loads(row.get("provenance", "{}")).items() if k != "config"},
    }


def rm(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN|GRID...",
            help="Ids of runs, or grids by name with all of it.",
            show_default=False,
            autocompletion=completion.runs_or_stored,
        ),
    ],
    results: arguments.Results = arguments.DEFAULT_RESULTS,
    yes: Yes = False,
) -> None:
    """Remove stored runs: their rows, checkpoints, logs and outputs; or a whole grid's folder. Asks first.

    Runs that a worker holds are refused. A removed run that is in a grid counts as missing, and ``run`` trains it.

    Example: xsam-bench rm 3f2a9c --yes
    """
    from xsam.store import removal

    folders = {folder.name: folder for folder in grids(results)}
    whole = [folders[target] for target in targets if target in folders]
    single: dict[str, tuple[GridFolder, RunSpec]] = {}
    for target in targets:
        if target not in folders:
            try:
                found = named.find_run(results, target)
            except BadInput as error:
                near = close_to(target, folders)
                raise BadInput(f"{results}: no run and no grid {target!r}{near}" if near else str(error)) from None
            single[found[1].run_id] = found
    for folder, run_ids in [*((one, one.started()) for one in whole), *((f, {s.run_id}) for f, s in single.values())]:
        for run_id in sorted(run_ids):
            if look.held(folder, run_id):
                raise BadInput(
                    f"{folder.name}/{run_id}: a worker is at it; end it with 'xsam-bench cancel {folder.name}' first"
                )
    said = [*(f"the grid {one.name}" for one in whole), *(f"{f.name}/{s.run_id}" for f, s in single.values())]
    if not yes and not _agreed(f"remove {', '.join(said)} from {results}?"):
        raise typer.Exit(terminal.EXIT_INCOMPLETE)
    with terminal.bad_input(ValueError):
        for folder in whole:
            removal.remove_grid(folder)
        for folder in {folder for folder, _ in single.values()} - set(whole):
            removal.remove_runs(folder, [s.run_id for f, s in single.values() if f == folder])
    terminal.say(f"removed {', '.join(said)}")


def _agreed(question: str) -> bool:
    import sys

    if not sys.stdin.isatty():
        raise BadInput(f"{question} Nobody is there to answer: give --yes")
    return typer.confirm(question)


def merge(
    source: Annotated[Path, typer.Argument(metavar="FROM", help="Results folder, or bundle, to take runs from.")],
    target: Annotated[Path, typer.Argument(metavar="INTO", help="Results folder to put them in.")],
) -> None:
    """Add the finished runs of one results folder or bundle to another, as from two machines that shared a grid.

    What is in both stays as INTO has it; FROM is only read. Exit status 1 where runs in both have different numbers.

    Example: xsam-bench merge results-of-the-cluster results
    """
    if source.resolve() == target.resolve():
        raise BadInput(f"{source} and {target} are one folder")
    if not source.exists():
        raise BadInput(f"{source}: no such folder, and no bundle")
    if source.is_dir():
        return _merge(source, target)
    with bundle.opened(source) as place:
        return _merge(place / bundle.RESULTS, target)


def _merge(source: Path, target: Path) -> None:
    from xsam.store import merging

    damages = named.Damages()
    different = False
    for folder, grid in named.stored_grids(source, (), damages):
        into = GridFolder(target, folder.name)
        with terminal.bad_input(ValueError):
            if not into.grid_json.exists():
                write_bytes(into.grid_json, folder.grid_json.read_bytes())
            found = merging.merge(folder, into, damages)
            wanted = {run.run_id for run in Grid.load(into.grid_json).runs}
        foreign = len(found.added - wanted)
        parts = [f"added {len(found.added)} runs", f"{len(found.same)} were there already" if found.same else ""]
        parts.append(f"{foreign} of them are not in INTO's grid, and reports leave them out" if foreign else "")
        parts.append(f"{len(found.different)} are in both with different numbers, and stay" if found.different else "")
        terminal.say(f"{grid.name}: {'; '.join(part for part in parts if part)}")
        for run_id in sorted(found.different):
            terminal.say(f"  {run_id} differs")
        different |= bool(found.different)
    damages.leave(terminal.EXIT_INCOMPLETE if different else 0)


def export(
    names: Names = [],  # noqa: B006
    results: arguments.Results = arguments.DEFAULT_RESULTS,
    table: Annotated[str, typer.Option("--table", help=f"Which table: {', '.join(TABLES)}.")] = "runs",
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write CSV; - is standard output.")] = None,
    arrow: Annotated[
        Path | None, typer.Option("--arrow", metavar="FILE", help="Write an Arrow file (Feather), with types.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all-columns", help="Also columns that hold nothing.")] = False,
) -> None:
    """Write a table of stored runs to one file, for other programs. Lists are JSON in CSV.

    Example: xsam-bench export quickstart --csv runs.csv
    """
    if (csv is None) == (arrow is None):
        raise BadInput("give one of --csv FILE and --arrow FILE")
    if table not in TABLES:
        raise BadInput(f"unknown table {table!r}{nearest(table, TABLES)}")
    from xsam.store import read

    damages = named.Damages()
    with terminal.bad_input(ValueError, FileNotFoundError):
        frame = read(results, table, names or None, on_damage=damages)
    if not everything and len(frame):  # of no rows, every column would hold nothing
        frame = frame.dropna(axis="columns", how="all")
    if arrow is not None:
        import io

        buffer = io.BytesIO()
        lists = {name: frame[name].map(_listed) for name in _list_columns(frame)}
        frame.assign(**lists).to_feather(buffer)
        write_bytes(arrow, buffer.getvalue())
    else:
        assert csv is not None
        texts = {name: frame[name].map(_json_of) for name in _list_columns(frame)}
        text = frame.assign(**texts).to_csv(index=False)
        if csv == Path("-"):
            terminal.say(text, end="")
            return damages.leave()
        write_bytes(csv, text.encode())
    terminal.say(f"wrote {len(frame)} rows of {table} to {arrow or csv}")
    return damages.leave()


def _list_columns(frame: Any) -> Iterator[str]:
    for name in frame.columns:
        if frame[name].dtype == object and any(isinstance(value, tuple) for value in frame[name]):
            yield str(name)


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _json_of(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, tuple) else value
