"""Arguments and options that several verbs have, each with its help and what a shell completes it with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xsam.cli import completion

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
