"""What verbs that look at finished runs begin with: the runs by their ids, their plug-ins, and what they need."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from xsam.cli import completion, named, plugged
from xsam.cli.prerequisites import check_data, enter_numerics
from xsam.grid import Grid, RunSpec
from xsam.store.layout import GridFolder

Runs = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN...",
        help="Ids of finished runs, or their first digits.",
        show_default=False,
        autocompletion=completion.runs,
    ),
]
RunId = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="Id of a finished run, or its first digits.",
        show_default=False,
        autocompletion=completion.runs,
    ),
]


class FinishedRun(NamedTuple):
    """A run that was named, the folder of its grid, and the grid."""

    folder: GridFolder
    grid: Grid
    run: RunSpec


def find(results: Path, ids: Sequence[str], damages: named.Damages) -> list[FinishedRun]:
    """The runs whose ids start so; ``BadInput`` where there is none or several."""
    found = [named.find_run(results, one, damages) for one in ids]
    return [FinishedRun(folder, Grid.load(folder.grid_json), run) for folder, run in found]


def load_plugins(found: Sequence[FinishedRun]) -> None:
    """Load the plug-ins that they use; ``BadInput`` where one is missing."""
    for one in found:
        plugged.require_for(one.grid, [one.run])


def enter(found: Sequence[FinishedRun], data: Path, device: str) -> None:
    """Check that their data are here, and bring this process to their numerics, before it loads torch."""
    runs = [one.run for one in found]
    check_data(runs, data)
    enter_numerics(runs, device)
