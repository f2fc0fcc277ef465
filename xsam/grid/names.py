"""Which names a grid, its labels and its tables may have, in a grid file and in a ``grid.json`` alike."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from xsam.text import plain

FIGURES = "figures"  # no table's name: its folder is the figures'
LABELS = "letters, digits, '.', '_', '+' and '-', at most 100, and begin with a letter or a digit"

_GRID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
_STORED_GRID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}(@[A-Za-z0-9._-]{1,40})*")  # NAME@<hash>, NAME@tune
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
_TABLE = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}")
_AXIS = re.compile(r"[a-z][a-z0-9_]{0,99}")
_LONGEST = 1000


def is_grid_name(name: object) -> bool:
    """Whether a grid file may give this name to its grid."""
    return isinstance(name, str) and _GRID.fullmatch(name) is not None


def is_stored_name(name: object) -> bool:
    """Whether a grid in a results folder may be called this: as in a file, and what ``--set`` and ``tune`` add.

    >>> is_stored_name("toy@1a2b"), is_stored_name("../toy")
    (True, False)
    """
    return isinstance(name, str) and _STORED_GRID.fullmatch(name) is not None


def is_label(name: object) -> bool:
    """Whether an optimizer may have this label: ``LABELS``, in a grid file and in ``grid.json`` alike.

    >>> is_label("xsam+0.5_k-2"), is_label("=cmd"), is_label("x" * 101)
    (True, False, False)
    """
    return isinstance(name, str) and _LABEL.fullmatch(name) is not None


def is_table_name(name: object) -> bool:
    """Whether a table may have this name, which its files are called by."""
    return isinstance(name, str) and _TABLE.fullmatch(name) is not None and name != FIGURES


def is_axis_name(name: object) -> bool:
    """Whether an axis, a parameter or a metric may be called this."""
    return isinstance(name, str) and _AXIS.fullmatch(name) is not None


def check_texts(content: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` where a text anywhere in ``content`` is longer than a name is, or not one visible line."""
    for text in _texts(content):
        if len(text) > _LONGEST or not plain(text):
            raise ValueError(f"a text in it is no name: {text[:40]!r}")


def _texts(content: Any) -> Iterator[str]:
    waiting = [content]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            waiting += one
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
