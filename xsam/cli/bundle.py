"""``xsam-bench bundle``: results as one file that can be checked, trained again and merged elsewhere."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from xsam import plugins
from xsam.cli import arguments, named, terminal
from xsam.cli.terminal import BadInput
from xsam.grid import Grid
from xsam.plugins.load import digest, files_of, is_path, origin_of
from xsam.store.layout import TABLES, GridFolder, grids
from xsam.store.tuning import SUFFIX, TUNED

if TYPE_CHECKING:
    import pandas as pd

RESULTS, SOURCES, REPORTS, PLUGINS = "results", "grids", "reports", "plugins"  # the folders in a bundle
ENDING = ".bundle.zip"
_SEARCH = ("tuning.json", "curve.csv", "curve.md")  # what a search leaves beside its runs


class _WriteByDefault(TyperGroup):
    """A group whose first word may be a grid: then it is ``write`` that is meant."""

    implied = "write"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = [self.implied, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_WriteByDefault,
    add_completion=False,
    no_args_is_help=True,
    help="Write results to one file, or verify such a file.\n\nExample: xsam-bench bundle quickstart --out study.zip",
)


@app.command()
def write(
    names: Annotated[
        list[str],
        typer.Argument(metavar="GRID...", help="Stored grids, by name or by YAML file, which then comes along."),
    ],
    results: arguments.Results = arguments.DEFAULT_RESULTS,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="The file; by default GRID.bundle.zip.")
    ] = None,
    checkpoints: Annotated[bool, typer.Option("--checkpoints", help="Put checkpoints in too, where they are.")] = False,
) -> None:
    """Write grids with their rows, curves, evaluations, tuning, provenance, plug-ins and reports to one file.

    The word `write` may be left out. Equal results make equal files. A tuned grid brings the search along that chose
    its values. Damaged results are refused: 'xsam-bench status' names what is damaged.

    Example: xsam-bench bundle write quickstart --out quickstart.bundle.zip
    """
    from xsam.store import bundle, compaction, merging

    with tempfile.TemporaryDirectory(prefix="xsam-bench-") as temporary:
        place = Path(temporary)
        chosen = _chosen(results, names, place)
        for folder in chosen:
            into = GridFolder(place / RESULTS, folder.name)
            into.root.mkdir(parents=True)
            with terminal.bad_input(ValueError, FileNotFoundError):
                grid = Grid.load(folder.grid_json)
                shutil.copyfile(folder.grid_json, into.grid_json)
                merging.merge(folder, into)
                compaction.compact(into)
            for file in (folder.root / name for name in _SEARCH):
                if file.is_file():
                    shutil.copyfile(file, into.root / file.name)
            if checkpoints:
                _copy_checkpoints(folder, into)
            _copy_plugins(grid, place)
        _drop_hidden(place)
        checked = _agreeing_grids(place)
        _write_reports(place)
        target = out or Path(f"{chosen[0].name}{ENDING}")
        with terminal.bad_input(ValueError):
            count = bundle.pack(target, place, {"grids": checked})
    for name, facts in checked.items():
        terminal.say(_said(name, facts))
    terminal.say(f"wrote {count} files to {target} ({target.stat().st_size} bytes)")


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A bundle.")], as_json: arguments.AsJson = False
) -> None:
    """Check every hash of a bundle, and that its grids, rows, ids and plug-ins agree. Runs no code of it.

    Example: xsam-bench bundle verify quickstart.bundle.zip
    """
    with opened(file) as place:
        found = _agreeing_grids(place)
    if as_json:
        terminal.print_json({"file": str(file), "grids": found})
        return
    for name, facts in found.items():
        terminal.say(_said(name, facts))
    terminal.say(f"{file}: verified")


@contextmanager
def opened(file: Path) -> Iterator[Path]:
    """The content of a bundle, verified, in a temporary folder."""
    from xsam.store import bundle

    with ExitStack() as stack:
        with terminal.bad_input(bundle.BadBundle, OSError):
            place, manifest = stack.enter_context(bundle.unpacked(file))
        try:
            found = _agreeing_grids(place)
        except BadInput as error:  # one that names a file in the temporary folder
            raise BadInput(f"{file}: {str(error).replace(f'{place}/', '')}") from None
        if not found or manifest.get("grids") != found:
            raise BadInput(f"{file}: its grids and rows are not those that its manifest counts")
        yield place


def load_plugins(place: Path, grid: Grid) -> None:
    """Load the plug-ins of a bundle's grid that are not loaded yet, here and in workers to come; runs their code."""
    for record in grid.plugins:
        name, reference = record["name"], record["reference"]
        if name in plugins.loaded():
            continue
        source = _source(place, name)
        if not is_path(reference):  # its files may import each other by the package's name
            sys.path.insert(0, str(source.parent))
            inherited = [one for one in (os.environ.get("PYTHONPATH"),) if one]
            os.environ["PYTHONPATH"] = os.pathsep.join([str(source.parent), *inherited])
            importlib.invalidate_caches()
        with terminal.bad_input(plugins.PluginError):
            found = plugins.load(str(source) if is_path(reference) else reference, named=reference)
        if found.sha256 != record["sha256"]:
            raise BadInput(f"{grid.name}: {reference} is another one here ({found.origin}) than in the bundle")


def _chosen(results: Path, names: Sequence[str], place: Path) -> list[GridFolder]:
    """The folders of the grids that are asked for, and of the searches behind them; YAML files are copied."""
    from xsam.grid import load_grid

    wanted: dict[str, None] = {}
    for name in names:
        if name.endswith((".yaml", ".yml")):
            file = named.packaged(Path(name), {}, "grid")
            with terminal.bad_input(ValueError):
                grid = load_grid(file)
            stored = GridFolder(results, grid.name).grid_json
            with terminal.bad_input(ValueError, FileNotFoundError):
                if {run.run_id for run in Grid.load(stored).runs} != {run.run_id for run in grid.runs}:
                    raise BadInput(f"{name}: has other runs than {stored}; 'xsam-bench run {name}' trains its own")
            (place / SOURCES).mkdir(exist_ok=True)
            shutil.copyfile(file, place / SOURCES / f"{grid.name}.yaml")
            wanted[grid.name] = None
        else:
            wanted[name] = None
    with terminal.bad_input(ValueError):
        found = [folder for folder, _ in named.stored_grids(results, list(wanted))]
    tuned = [one.name.removesuffix(TUNED) for one in found if one.name.endswith(TUNED)]
    searches = [GridFolder(results, f"{name}{SUFFIX}") for name in tuned]
    return [*found, *(one for one in searches if one.grid_json.exists() and one.name not in wanted)]


def _copy_checkpoints(source: GridFolder, target: GridFolder) -> None:
    for state in source.started():
        file = source.checkpoint(state)
        if file.is_file():
            target.state(state).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target.checkpoint(state))


def _copy_plugins(grid: Grid, place: Path) -> None:
    """The sources of the grid's plug-ins, where they are those that it was planned with; runs none of their code."""
    for record in grid.plugins:
        name = record["name"]
        loaded = plugins.loaded().get(name)
        try:
            origin = origin_of(record["reference"]) if loaded is None else loaded.origin
        except plugins.PluginError as error:
            raise BadInput(f"{grid.name}: its plug-in {name}: {error}; name it with --plugin before the verb") from None
        sha256 = digest(origin)
        if sha256 != record["sha256"] or not _plain(name):
            raise BadInput(
                f"{grid.name}: the plug-in {name} ({origin}) has changed since (content {sha256[:12]}, not "
                f"{record['sha256'][:12]}): name the one that trained the runs with --plugin before the verb"
            )
        target = place / PLUGINS / name / origin.name
        for path in files_of(origin):
            copy = target / path.relative_to(origin) if origin.is_dir() else target
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)


def _drop_hidden(place: Path) -> None:
    """Remove locks and indexes, which are of this machine."""
    for path in sorted(place.rglob(".*"), reverse=True):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _write_reports(place: Path) -> None:
    from xsam.report import analysis
    from xsam.report import write as reports

    with terminal.bad_input(ValueError, FileNotFoundError):
        made = analysis.load_report(place / RESULTS)
        reports.write(reports.render(made, index=True, figures=True, page=True), place / REPORTS)


def _source(place: Path, name: str) -> Path:
    """The plug-in's file or folder in the bundle."""
    folder = place / PLUGINS / name
    found = list(folder.iterdir()) if _plain(name) and folder.is_dir() else []
    if len(found) != 1:
        raise BadInput(f"{place}/{RESULTS}: the sources of the plug-in {name!r} are not in the bundle")
    return found[0]


def _plain(name: str) -> bool:
    """Whether a plug-in's name, which is another person's text, is that of one folder."""
    return bool(name) and "/" not in name and name not in (".", "..")


def _agreeing_grids(place: Path) -> dict[str, dict[str, Any]]:
    return {folder.name: _agreeing(folder, place) for folder in grids(place / RESULTS)}


def _agreeing(folder: GridFolder, place: Path) -> dict[str, Any]:
    """Check what is in a bundle of one grid, against itself; returns what there is of it."""
    from xsam.store import read

    with terminal.bad_input(ValueError, FileNotFoundError):
        grid = Grid.load(folder.grid_json)
        tables = {
            table: read(folder.results, table, [folder.name]) if folder.has_rows(table) else None for table in TABLES
        }
    if grid.name != folder.name:
        raise BadInput(f"{folder.grid_json}: the grid is called {grid.name!r}, not {folder.name!r}")
    for record in grid.plugins:
        if digest(_source(place, record["name"])) != record["sha256"]:
            raise BadInput(f"{folder.grid_json}: the plug-in {record['name']} is not the one that the grid names")
    rows = tables["runs"]
    planned = {run.run_id for run in grid.runs}
    ids = set() if rows is None else set(rows["run_id"])
    if rows is not None:
        _check_rows(folder, rows, tables)
    return {
        "planned": len(planned),
        "rows": {table: 0 if frame is None else len(frame) for table, frame in tables.items()},
        "missing": len(planned - ids),
        "foreign": len(ids - planned),
        "plugins": {record["name"]: record["sha256"] for record in grid.plugins},
    }


def _check_rows(folder: GridFolder, rows: pd.DataFrame, tables: dict[str, Any]) -> None:
    """The rows are those of the runs that their provenance describes, and so many epochs belong to each."""
    from xsam.report.repetition import spec_of

    ids = set(rows["run_id"])
    for table, frame in tables.items():
        if table != "runs" and frame is not None and not set(frame["run_id"]) <= ids:
            odd = sorted(set(frame["run_id"]) - ids)[0]
            raise BadInput(f"{folder.root}: the table {table} has rows of {odd}, which has none in runs")
    epochs = {} if tables["epochs"] is None else tables["epochs"]["run_id"].value_counts().to_dict()
    with terminal.bad_input(ValueError):
        for record in rows.to_dict("records"):
            row: dict[str, Any] = {str(name): value for name, value in record.items()}
            if isinstance(row["provenance"], str):  # a run that failed at once has none
                spec_of(row)
            told = row.get("epoch_rows")
            if told is not None and told == told and int(told) != epochs.get(row["run_id"], 0):
                raise BadInput(
                    f"{folder.root}: {row['run_id']} has {epochs.get(row['run_id'], 0)} epochs, and its row says {told}"
                )


def _said(name: str, facts: dict[str, Any]) -> str:
    rows = facts["rows"]
    parts = [f"{rows['runs'] - facts['foreign']} of {facts['planned']} runs"]
    parts += [f"{count} rows of {table}" for table, count in rows.items() if table != "runs" and count]
    parts += [f"{facts['foreign']} runs that are not in the grid"] if facts["foreign"] else []
    parts += [f"plug-in {plugin}" for plugin in facts["plugins"]]
    return f"{name}: {', '.join(parts)}"
