"""The command ``xsam-bench``: its verbs, and how mistakes are answered."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from xsam import __version__
from xsam.atomic import in_words
from xsam.cli import terminal
from xsam.cli.verbs import Verbs

app = typer.Typer(
    cls=Verbs,
    name="xsam-bench",
    help="Plan, run and report grids of sharpness-aware training runs.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        terminal.say(f"xsam-bench {__version__}")
        raise typer.Exit


@app.callback()
def before(
    plugin: Annotated[
        list[str],
        typer.Option(
            "--plugin",
            metavar="FILE|MODULE",
            envvar="XSAM_BENCH_PLUGINS",
            help="Load a plug-in first, for verbs that take no grid file; several: repeat it. Runs its code.",
        ),
    ] = [],  # noqa: B006
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Plan, run and report grids of sharpness-aware training runs."""
    if plugin:
        from xsam.cli import plugged

        plugged.load(plugin)


def main() -> None:
    """Run the command; bad input is one line on standard error and exit status 2, a disk that refuses one and 1."""
    try:
        app()
    except terminal.BadInput as error:
        terminal.say(f"xsam-bench: {error}", error=True)
        sys.exit(2)
    except OSError as error:  # a full disk, a folder of somebody else's, a disk that fails
        terminal.say(f"xsam-bench: {in_words(error)}", error=True)
        sys.exit(terminal.EXIT_INCOMPLETE)


if __name__ == "__main__":
    main()
