"""``xsam-bench init``: a grid or a cluster profile to begin with, copied from those that come with the package."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from xsam import templates
from xsam.atomic import write_bytes
from xsam.cli import terminal
from xsam.cli.terminal import BadInput
from xsam.grid.names import is_grid_name
from xsam.parameters import nearest

_NAME = re.compile(r"^name: *\S+( *)", re.MULTILINE)


def init(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE", help="The file to write; by default TEMPLATE's name, in this folder.", show_default=False
        ),
    ] = None,
    template: Annotated[
        str, typer.Option("--template", "-t", metavar="NAME", help="What to copy: a name that --list shows.")
    ] = templates.STARTER,
    show: Annotated[bool, typer.Option("--list", help="Show the templates, and write nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE where it exists.")] = False,
) -> None:
    """Write a commented grid, or with --template a copy of any grid or cluster profile that comes with the package.

    A grid is called what its file is called, so that its results have a folder of their own.

    Example: xsam-bench init my_study.yaml --template cpu/fashion
    """
    known = templates.templates()
    if show:
        width = max(map(len, known))
        for name, path in known.items():
            terminal.say(f"{name:{width}}  {templates.summary(path)}")
        return
    if template not in known:
        raise BadInput(f"no template {template!r}{nearest(template, known)}; 'xsam-bench init --list' shows them all")
    target = file or Path(f"{known[template].stem}.yaml")
    text = known[template].read_text(encoding="utf-8")
    if not templates.is_profile(template):
        text = _named(text, target)
    if target.exists() and not force:
        raise BadInput(f"{target} exists; give another name, or --force to replace it")
    with terminal.bad_input(OSError):
        write_bytes(target, text.encode())
    terminal.say(f"wrote {target}; next: {_next(target, template)}")


def _named(text: str, target: Path) -> str:
    """A grid's text with the name of its file."""
    if not is_grid_name(target.stem):
        raise BadInput(f"{target}: a grid is named after its file, and {target.stem!r} cannot be a grid's name")
    # The comments behind the name keep their column where that is possible.
    old = _NAME.search(text)
    if old is None:
        raise AssertionError("every grid that comes with the package has a name")
    new = f"name: {target.stem}"
    return text[: old.start()] + new.ljust(old.end() - old.start() if old[1] else 0) + text[old.end() :]


def _next(target: Path, template: str) -> str:
    if templates.is_profile(template):
        return f"xsam-bench run GRID --launcher slurm --profile {target}"
    return f"xsam-bench plan {target}"
