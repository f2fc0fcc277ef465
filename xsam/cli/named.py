"""What a command line names: a grid's file, stored grids, runs by their ids; and what is damaged of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import typer

from xsam.cli.terminal import EXIT_INCOMPLETE, BadInput, bad_input, say
from xsam.damage import DamagedFile, OnDamage, refuse
from xsam.grid import Grid, GridError, RunSpec, load_grid, select
from xsam.grid.yaml_file import read_yaml
from xsam.parameters import close_to, nearest
from xsam.store.layout import GridFolder, grids
from xsam.tasks import own
from xsam.templates import grids as grids_of_package


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
