"""What the verbs share: options, bad input, and the console."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from xsam.atomic import in_words, is_full
from xsam.cli import completion
from xsam.damage import DamagedFile, OnDamage, refuse
from xsam.grid import Grid, GridError, RunSpec, load_grid, select
from xsam.grid.yaml_file import read_yaml
from xsam.parameters import close_to, nearest
from xsam.store.layout import GridFolder, grids
from xsam.tasks import own
from xsam.templates import grids as grids_of_package
from xsam.text import inert

GridFile = Annotated[
    Path,
    typer.Argument(
        metavar="GRID",
        help="The grid's YAML file, or the name of one that comes with the package, such as quickstart.",
        show_default=False,
        autocompletion=completion.grid_files,
    ),
]
Results = Annotated[Path, typer.Option("--results", metavar="DIR", help="Folder of the results.")]
Data = Annotated[
    Path,
    typer.Option("--data", metavar="DIR", envvar="XSAM_BENCH_DATA", help="Folder of the prepared data sets."),
]
Device = Annotated[
    str, typer.Option(help="torch's name of the device, such as cpu or cuda; auto: a GPU if there is one.")
]
Sets = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a parameter or an axis; makes a grid of its own.",
    ),
]
Only = Annotated[
    list[str],
    typer.Option(
        "--only", metavar="KEY=VALUE", help="Take only these runs of the grid.", autocompletion=completion.axes
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
InJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON document for programs; what people read goes to standard error.")
]

DEFAULT_RESULTS = Path("results")
DEFAULT_DATA = Path("data")

EXIT_INCOMPLETE = 1


class BadInput(Exception):
    """Something that the user wrote cannot be done; the message is one line and says what to do."""


@contextlib.contextmanager
def bad_input(*kinds: type[Exception]) -> Iterator[None]:
    """Turn these exceptions, whose messages are for users, into :class:`BadInput`; a full disk is nobody's mistake."""
    try:
        yield
    except kinds as error:
        if is_full(error):
            raise
        raise BadInput(in_words(error) if isinstance(error, OSError) else str(error)) from error


def packaged(given: Path, known: Mapping[str, Path], kind: str) -> Path:
    """The file that ``given`` is, or the one of this name that comes with the package (``known``: name → file).

    A file of the user's own comes first; what ends like a file is one.
    """
    name = given.as_posix()
    if given.is_file():
        return given
    if given.suffix in (".yaml", ".yml"):
        if not given.exists():
            beside = [path.as_posix() for path in given.parent.glob("*") if path.suffix in (".yaml", ".yml")]
            near = close_to(name, [*beside, *known])
            raise BadInput(f"{given}: no such file{near or f'; xsam-bench init writes a {kind} to begin with'}")
        return given
    if name in known:
        return known[name]
    if given.exists():
        raise BadInput(f"{given}: is no file; give the {kind}'s YAML file")
    raise BadInput(
        f"{given}: no such file, and no {kind} of this name comes with the package{nearest(name, known)}; "
        "'xsam-bench init --list' shows them"
    )


def load(path: Path, sets: Sequence[str], only: Sequence[str], data: Path) -> tuple[Grid, tuple[RunSpec, ...]]:
    """The grid in ``path``, a file or a packaged grid's name, and those of its runs that ``--only`` leaves.

    The user's own data sets in the folder ``data`` are known from here on.
    """
    file = packaged(path, grids_of_package(), "grid")
    own.enter(data)
    with bad_input(GridError):
        grid = load_grid(file, sets)
        return grid, select(grid, only)


class Damages:
    """What a verb does about damaged files: it names each in one line, once, goes on with the rest, and exits 1."""

    def __init__(self) -> None:
        self.paths: dict[Path, None] = {}

    def __call__(self, damage: DamagedFile) -> None:
        if damage.path not in self.paths:
            self.paths[damage.path] = None
            say(f"xsam-bench: {damage}", error=True)

    def leave(self, status: int = 0) -> None:
        """End the verb where its exit status is not 0."""
        if self.paths or status:
            raise typer.Exit(EXIT_INCOMPLETE if self.paths else status)


def stored_grids(results: Path, names: Sequence[str], on_damage: OnDamage = refuse) -> list[tuple[GridFolder, Grid]]:
    """The grids under a results folder, all or those named, without those whose ``grid.json`` is damaged."""
    refuse_file(results, "--results")
    folders = {folder.name: folder for folder in grids(results)}
    if not folders:
        raise BadInput(f"{results}: no grid here; run one with 'xsam-bench run GRID.yaml --results {results}'")
    for name in names:
        if name not in folders:
            raise BadInput(f"{results}: no grid {name!r}{_own_name(name, folders) or nearest(name, folders)}")
    found = []
    for name, folder in folders.items():
        if not names or name in names:
            try:
                found.append((folder, Grid.load(folder.grid_json)))
            except DamagedFile as damage:
                on_damage(damage)
    return found


def refuse_file(path: Path, option: str) -> None:
    """Raise ``BadInput`` where ``path``, given with ``option``, is there and is no folder."""
    if path.exists() and not path.is_dir():
        raise BadInput(f"{option} {path}: is no folder; give one, or the name of one that is to be made")


def _own_name(given: str, stored: Collection[str]) -> str:
    """What a grid file's grid is called, for those who give the file where a stored grid is meant; empty otherwise."""
    file = grids_of_package().get(given, Path(given))
    try:
        name = read_yaml(file).plain()["name"]
    except (OSError, GridError, KeyError, TypeError):
        return ""
    missing = "" if name in stored else f", which is not stored here: 'xsam-bench run {given}' comes first"
    return f": that is a grid file, and its grid is called {name!r}{missing}"


def find_run(results: Path, prefix: str, on_damage: OnDamage = refuse) -> tuple[GridFolder, RunSpec]:
    """The one run whose id starts with ``prefix``."""
    matches = [
        (folder, run)
        for folder, grid in stored_grids(results, (), on_damage)
        for run in grid.runs
        if run.run_id.startswith(prefix)
    ]
    if not matches:
        raise BadInput(f"{results}: no run {prefix!r}; 'xsam-bench runs --results {results}' lists them")
    if len(matches) > 1:
        names = ", ".join(f"{folder.name}/{run.run_id}" for folder, run in matches[:5])
        raise BadInput(f"{prefix!r} fits {len(matches)} runs: {names}")
    return matches[0]


def available_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class InertConsole(Console):
    """A console on which no text, in a table's cells either, is markup or tells the terminal anything."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, **options})

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(inert(text), **options)


def console(error: bool = False) -> Console:
    """Standard output, or standard error; plain, and wide enough for any line, where it is not a terminal.

    Args:
        error: what people read goes to standard error, since standard output is one JSON document for a program.
    """
    output = InertConsole(stderr=error)
    if not output.is_terminal:
        output = InertConsole(stderr=error, width=200, highlight=False, color_system=None)
    return output


def say(text: str, end: str = "\n", error: bool = False) -> None:
    """Print text as it is, on standard output or standard error, except that a terminal has nothing to obey in it."""
    print(inert(text), end=end, flush=True, file=sys.stderr if error else sys.stdout)


def print_json(content: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(content, indent=2, allow_nan=False))
