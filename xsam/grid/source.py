"""What a user wrote as a tree whose every node knows its line; every mistake in it is one ``GridError``.

Needs no YAML, which :mod:`xsam.grid.yaml_file` reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from xsam.parameters import nearest

Scalar = bool | int | float | str | None

_WORDS: Mapping[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INT_DIGITS = 18  # what fits a 64-bit column


class GridError(ValueError):
    """A mistake of the user in a grid or in an option that changes one: ``str()`` is ``"grid.yaml:12: message"``.

    Args:
        file: the file as the user named it, or the option (``"--set lr=1"``).
        line: 1-based line, ``None`` where there is none.
        message: one line: what is wrong, and the nearest valid value.
    """

    def __init__(self, file: str, line: int | None, message: str) -> None:
        super().__init__(file, line, message)
        self.file = file
        self.line = line
        self.message = message

    def __str__(self) -> str:
        return f"{self.file}: {self.message}" if self.line is None else f"{self.file}:{self.line}: {self.message}"


@dataclass(frozen=True)
class Location:
    """Where the user wrote something: a line of a file, or an option (no line)."""

    file: str
    line: int | None = None

    def error(self, message: str) -> GridError:
        """The error ``message`` at this place, on one line."""
        return GridError(self.file, self.line, " ".join(message.split()))


@dataclass(frozen=True)
class Node:
    """A value as written: a scalar, a tuple of nodes (list) or a dict of nodes (each at the line of its key)."""

    value: Scalar | tuple[Node, ...] | dict[str, Node]
    place: Location

    def plain(self) -> Any:
        """The value as Python lists, dicts and scalars."""
        if isinstance(self.value, dict):
            return {name: node.plain() for name, node in self.value.items()}
        if isinstance(self.value, tuple):
            return [node.plain() for node in self.value]
        return self.value

    def mapping(self, what: str) -> dict[str, Node]:
        """The entries of a mapping; raises ``GridError`` where ``what`` is something else."""
        if not isinstance(self.value, dict):
            raise self.place.error(f"{what} must be a mapping (key: value), not {self.plain()!r}")
        return self.value

    def items(self, what: str) -> tuple[Node, ...]:
        """The items of a list; raises ``GridError`` where ``what`` is something else."""
        if not isinstance(self.value, tuple):
            raise self.place.error(f"{what} must be a list, not {self.plain()!r}")
        return self.value


def check_keys(entries: Mapping[str, Node], allowed: Iterable[str], what: str) -> None:
    """Raise ``GridError`` at the first key that is not ``allowed``, with the nearest that is."""
    for key, node in entries.items():
        if key not in allowed:
            raise node.place.error(f"unknown {what} {key!r}{nearest(key, allowed)}")


def scalar(text: str, place: Location) -> Scalar:
    """The value of unquoted ``text``.

    >>> [scalar(text, Location("example")) for text in ("1e-3", "7", "on", "010", "null")]
    [0.001, 7, 'on', '010', None]
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        if len(text.lstrip("+-")) > _INT_DIGITS:
            raise place.error(f"the number {text[:_INT_DIGITS]}… is too large")
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
