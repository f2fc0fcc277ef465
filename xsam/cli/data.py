"""``xsam-bench data``: list, prepare and verify data sets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from xsam.cli import arguments, completion, terminal
from xsam.tasks import DataMissing
from xsam.tasks import data as datasets
from xsam.tasks.data import Report, Verified

app = typer.Typer(help="List, prepare and verify data sets.", no_args_is_help=True, add_completion=False)

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="A data set; see 'data list'. 'data prepare' takes a new name for your own data.",
        show_default=False,
        autocompletion=completion.data_sets,
    ),
]
Source = Annotated[
    Path | None,
    typer.Option("--from", metavar="PATH", help="Take it from this archive, .npz file or folder instead of the net."),
]
BpeMerges = Annotated[
    int | None,
    typer.Option("--bpe-merges", metavar="N", min=1, help="Byte-pair merges of a parallel corpus, if not its usual."),
]
AllowUnverified = Annotated[
    bool,
    typer.Option("--allow-unverified", help="Take a copy that is not known to be the published data; runs will tell."),
]


Size = Annotated[
    int | None,
    typer.Option(
        "--size",
        metavar="N",
        min=1,
        max=4096,
        help="Your own images: resize each to N×N, its shorter side and then the middle.",
    ),
]
Image = Annotated[
    str | None, typer.Option("--image", metavar="COLUMN", help="Your own parquet files: the column of images.")
]
Label = Annotated[
    str | None, typer.Option("--label", metavar="COLUMN", help="Your own parquet files: the column of labels.")
]
JoinedDictionary = Annotated[
    bool,
    typer.Option("--joined-dictionary", help="Your own text pair: one dictionary for both languages."),
]


@app.command("list")
def list_(data: arguments.Data = arguments.DEFAULT_DATA, as_json: arguments.AsJson = False) -> None:
    """Show every data set, and whether it is prepared.

    Example: xsam-bench data list
    """
    found = datasets.available(data)
    if as_json:
        terminal.print_json([asdict(one) for one in found])
        return
    table = Table("data set", "prepared", "where", "what")
    for one in found:
        table.add_row(one.name, "yes" if one.prepared else "no", one.where if one.prepared else "", one.facts)
    terminal.console().print(table)


@app.command()
def prepare(
    name: Name,
    data: arguments.Data = arguments.DEFAULT_DATA,
    source: Source = None,
    bpe_merges: BpeMerges = None,
    allow_unverified: AllowUnverified = False,
    size: Size = None,
    image: Image = None,
    label: Label = None,
    joined_dictionary: JoinedDictionary = False,
) -> None:
    """Download a data set, or take it from a local copy, check it, and put it where training finds it.

    A download that was cut goes on where it ended when the command is given again. With a name that is nobody's yet,
    data of your own become a data set that grids may name: images in a folder for each class, an .npz file or parquet
    files, and texts train.LANGUAGE, valid.LANGUAGE and test.LANGUAGE in two languages.

    Example: xsam-bench data prepare cifar10 --from cifar-10-python.tar.gz
    """
    options = datasets.OwnOptions(size, image, label, joined_dictionary=joined_dictionary or None)
    with terminal.bad_input(ValueError, OSError), _progress() as report:
        verified = datasets.prepare(
            name,
            data,
            source,
            bpe_merges=bpe_merges,
            allow_unverified=allow_unverified,
            report=report,
            options=options,
        )
    _show(verified)


@app.command()
def verify(name: Name, data: arguments.Data = arguments.DEFAULT_DATA) -> None:
    """Read a data set from end to end and check it. Exit status 1 where something is wrong.

    Example: xsam-bench data verify fashion_mnist
    """
    with terminal.bad_input(ValueError, DataMissing):
        verified = datasets.verify(name, data)
    _show(verified)
    raise typer.Exit(0 if verified.ok else terminal.EXIT_INCOMPLETE)


@contextmanager
def _progress() -> Iterator[Report]:
    """A bar on a terminal's standard error for what is being done; nothing elsewhere."""
    console = terminal.InertConsole(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        tasks = {}

        def report(what: str, done: int, total: int | None) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what)
            progress.update(tasks[what], completed=done, total=total)

        yield report


def _show(verified: Verified) -> None:
    if verified.problem is not None:
        terminal.say(f"{verified.name}: {verified.problem}")
        return
    counts = ", ".join(f"{count:,} {part}" for part, count in verified.counts.items())
    terminal.say(f"{verified.name}: {counts}, checksum {verified.checksum}, from {verified.source}")
    for note in verified.notes:
        terminal.say(f"  {note}")
