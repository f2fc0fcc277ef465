"""Data sets of one's own, which ``data prepare NAME --from PATH`` made: known by what lies in the data folder.

A set is known to a process from :func:`enter` on, and its name then works in grids like a built-in one. What tells one
set from another of the same name is its content: the checksum of it is in the id of every run that uses it, so runs on
data that were prepared anew with other content are other runs. Needs the standard library alone.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from xsam.tasks import TASKS, DataMissing, get_task

RESERVED = ("test", "val", "valid", "train")  # what parts of a run's data are called
SOURCES = "FOLDER|FILE"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")


class OwnDataChanged(ValueError):
    """A run's own data are not those that are prepared; the message is one line that says what to do."""


@dataclass(frozen=True)
class OwnSet:
    """A prepared data set of one's own.

    Attributes:
        task: whose data it is.
        checksum: of its content; in run ids.
        facts: counts and format in a few words.
        classes: how many, where it has classes.
        place: the folder that it lies in.
    """

    name: str
    task: str
    checksum: str
    facts: str
    classes: int | None = None
    place: str = ""

    def record(self) -> dict[str, Any]:
        """What ``grid.json`` keeps of it, so that results can be read where the data are not."""
        return {name: value for name, value in asdict(self).items() if name != "place"}


@dataclass(frozen=True)
class Found:
    """A set in the data folder: the set and what makes it known, or what is wrong with it (``problem``)."""

    name: str
    add: Callable[[], OwnSet] | None = None
    drop: Callable[[], None] | None = None
    problem: str = ""


class Finder(Protocol):
    """What the module offers that a task's ``own_data`` names; it imports little, since every plan looks for sets."""

    def find_own(self, data_dir: Path) -> Iterator[Found]:
        """The sets of one's own below ``data_dir``; reads their manifests alone."""

    def reserved(self) -> Collection[str]:
        """Names that no set of one's own may have: those of built-in sets and of their folders."""


_known: dict[str, OwnSet] = {}
_drops: dict[str, Callable[[], None]] = {}
_broken: dict[str, str] = {}
_folders: list[Path] = []  # the one that was entered


def known() -> Mapping[str, OwnSet]:
    """The sets of one's own that this process knows, by name."""
    return _known


def enter(data_dir: Path) -> None:
    """Make the sets of one's own below ``data_dir`` known, and those of another folder unknown.

    One that is damaged is left out; :func:`hint` then says why.

    >>> enter(Path("no_such_folder"))
    >>> dict(known())
    {}
    """
    for drop in _drops.values():
        drop()
    for table in (_known, _drops, _broken):
        table.clear()
    _folders[:] = [data_dir]
    for finder in _finders():
        for found in finder.find_own(data_dir):
            if found.add is None or found.drop is None:
                _broken[found.name] = found.problem
                continue
            try:
                one = found.add()
            except ValueError as error:
                _broken[found.name] = str(error)
                continue
            _known[one.name] = one
            _drops[one.name] = found.drop


def contents(names: Collection[str]) -> dict[str, str]:
    """Name → checksum of those of the data sets ``names`` that are one's own."""
    return {name: _known[name].checksum for name in sorted(names) if name in _known}


def check(contents: Mapping[str, str], data_dir: Path) -> None:
    """Raise where a run's own data (name → checksum) are not what is known of them now.

    Raises ``DataMissing`` for a set that is not prepared, and :class:`OwnDataChanged` for one with other content.
    """
    for name, checksum in contents.items():
        now = _known.get(name)
        if now is None:
            why = _broken.get(name) or f"no prepared data set of this name in {data_dir}"
            raise DataMissing(f"data set {name} of your own is missing ({why}): run `{command(name, data_dir)}`")
        if now.checksum != checksum:
            raise OwnDataChanged(
                f"data set {name} of your own has other content now ({now.checksum} in {now.place}, not {checksum}, "
                "with which these runs were planned): prepare the former data again, or plan the grid anew"
            )


def command(name: str, data_dir: Path | None = None) -> str:
    """The command that prepares a set of one's own."""
    folder = "" if data_dir is None or str(data_dir) == "data" else f" --data {shlex.quote(str(data_dir))}"
    return f"xsam-bench data prepare {name} --from {SOURCES}{folder}"


def hint(name: str) -> str:
    """For a message about a data set ``name`` that is not known: how it would be, if it is to be one's own."""
    if name in _broken:
        return f"; {_broken[name]}"
    if not _NAME.fullmatch(name):
        return ""
    return f"; data of your own are prepared first: {command(name, *_folders)}"


def check_name(name: str, taken: Collection[str]) -> None:
    """Raise ``ValueError`` (one line) where no set of one's own can be called ``name``.

    Args:
        taken: the names of other data sets.

    >>> check_name("My Birds", [])
    Traceback (most recent call last):
    ...
    ValueError: a data set's name is lower-case letters, digits and '_', not 'My Birds'; such as 'my_birds'
    """
    if not _NAME.fullmatch(name):
        made = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
        such = f"; such as {made!r}" if _NAME.fullmatch(made) else ""
        raise ValueError(f"a data set's name is lower-case letters, digits and '_', not {name!r}{such}")
    everything = {*taken, *(each for finder in _finders() for each in finder.reserved())}
    if name in everything:
        raise ValueError(f"{name} is the name of a data set that xsam-bench knows already: choose another one")
    if name in RESERVED:
        raise ValueError(f"{name} is what a part of every data set is called: choose another name")


def _finders() -> Iterator[Finder]:
    for name in TASKS:
        if module := getattr(get_task(name), "own_data", ""):
            yield cast(Finder, import_module(module))
