"""What a shell may complete beyond verbs and options: grid files, stored grids, run ids, axes and their values.

A shell asks with every press of the key: nothing here trains, writes, or lets a mistake through to the terminal.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import typer

Offers = Iterator[tuple[str, str]]  # what to write, and what that is
MOST = 200
DEEP = 2  # folders below the one in hand


def quiet(offer: Callable[[typer.Context], Offers]) -> Callable[[typer.Context, str], list[tuple[str, str]]]:
    """The offers that begin as the user did; none where they cannot be told."""

    @functools.wraps(offer)
    def offers(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
        found = []
        try:
            for text, meaning in offer(ctx):
                if text.startswith(incomplete):
                    found.append((text, meaning))
                if len(found) == MOST:
                    break
        except Exception:  # a damaged grid, a folder that cannot be read: no reason to disturb who is typing
            return []
        return found

    # typer goes by the annotations of what it is given; those of ``offer`` name one argument.
    del offers.__wrapped__
    offers.__annotations__ = {"ctx": typer.Context, "incomplete": str}
    return offers


@quiet
def grid_files(ctx: typer.Context) -> Offers:
    """YAML files here and a little below, then the names of grids that come with the package."""
    from xsam import templates

    for depth in range(DEEP + 1):
        for path in sorted(Path().glob("*/" * depth + "*.y*ml")):
            if not any(part.startswith(".") for part in path.parts):
                yield path.as_posix(), "a file here"
    for name, path in templates.grids().items():
        yield name, templates.summary(path)


@quiet
def profiles(ctx: typer.Context) -> Offers:
    """Cluster profiles that come with the package; a shell knows files by itself where none fits."""
    from xsam import templates

    for name, path in templates.profiles().items():
        yield name, templates.summary(path)


@quiet
def stored(ctx: typer.Context) -> Offers:
    """Grids in the folder of ``--results``."""
    from xsam.store.layout import grids

    for folder in grids(_results(ctx)):
        yield folder.name, f"{folder.results}"


@quiet
def runs(ctx: typer.Context) -> Offers:
    """Ids of runs in the folder of ``--results``, each with its place in the matrix."""
    return _runs(ctx)


@quiet
def runs_or_stored(ctx: typer.Context) -> Offers:
    """Names of stored grids, then ids of runs."""
    from xsam.store.layout import grids

    for folder in grids(_results(ctx)):
        yield folder.name, "a grid with all of it"
    yield from _runs(ctx)


@quiet
def axes(ctx: typer.Context) -> Offers:
    """``AXIS=VALUE`` for every axis of the grid on the command line, or of the stored ones."""
    from xsam.cli import arguments, named
    from xsam.grid import Grid
    from xsam.store.layout import GridFolder, grids

    # Behind an option that still lacks its value, arguments are not told apart yet.
    words = [word for word in ctx.args if not word.startswith("-")]
    if any(one.name == "grid_file" for one in ctx.command.params):
        given = ctx.params.get("grid_file") or words[0]
        found = [named.load(Path(given), [], [], Path(ctx.params.get("data") or arguments.DEFAULT_DATA))[0]]
    else:
        results = _results(ctx)
        names = ctx.params.get("names") or words or [folder.name for folder in grids(results)]
        found = [Grid.load(GridFolder(results, name).grid_json) for name in names]
    offered = set()
    for grid in found:
        for run in grid.runs:
            for axis, value in {"optimizer": run.optimizer, **run.axes}.items():
                text = f"{axis}={value}"
                if isinstance(value, str | int | float) and text not in offered:
                    offered.add(text)
                    yield text, grid.name


@quiet
def data_sets(ctx: typer.Context) -> Offers:
    """Names of data sets, prepared or not."""
    from xsam.cli.arguments import DEFAULT_DATA
    from xsam.tasks.data import available

    for one in available(Path(ctx.params.get("data") or DEFAULT_DATA)):
        yield one.name, one.facts


def _runs(ctx: typer.Context) -> Offers:
    from xsam.grid import Grid
    from xsam.launch.status import name_of
    from xsam.store.layout import grids

    for folder in grids(_results(ctx)):
        for run in Grid.load(folder.grid_json).runs:
            yield run.run_id, f"{folder.name} {name_of(run)}"


def _results(ctx: typer.Context) -> Path:
    return Path(ctx.params.get("results") or "results")
