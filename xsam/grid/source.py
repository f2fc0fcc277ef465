"""YAML files as trees whose every node knows its line; everything that cannot be read is one ``GridError``.

The dialect is smaller than YAML 1.1, so that a grid means what it looks like: unquoted ``true``, ``false``, ``null``
and numbers (``1e-3`` too) have a type, everything else is text (``on``, ``no``, ``1:30``, ``0x10``, ``010``,
``2024-01-01``). Tags, anchors, aliases, keys that are not text and keys given twice are errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from xsam.parameters import nearest

if TYPE_CHECKING:
    import yaml  # imported where a file is read: --help, and verbs about stored grids, do without

Scalar = bool | int | float | str | None

MAX_DEPTH = 20
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


def read_yaml(path: Path) -> Node:
    """The one document of the YAML file at ``path``; raises ``GridError`` for everything that is wrong with it."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise GridError(str(path), None, f"cannot be read: {error.strerror}") from None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise GridError(str(path), data[: error.start].count(b"\n") + 1, "the file is not UTF-8") from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str, file: str, numbered: bool = True) -> Node:
    """The one document of ``text``; ``numbered=False`` for an option's value, whose errors name no line."""
    import yaml

    reader = _Reader(file, numbered)
    try:
        return reader.document(yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n")
        message = f"not valid YAML: the character {chr(error.character)!r} is not allowed"
        raise reader.place(line).error(message) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise reader.place(mark.line if mark else 0).error(f"not valid YAML: {_problem(error)}") from None


def _problem(error: yaml.MarkedYAMLError) -> str:
    if error.context is None or error.context_mark is None:
        return str(error.problem)
    return f"{error.problem}, {error.context} that begins on line {error.context_mark.line + 1}"


class _Reader:
    """Builds nodes straight from the parser's events: tags and aliases are refused before anything expands them."""

    def __init__(self, file: str, numbered: bool) -> None:
        self._file = file
        self._numbered = numbered

    def place(self, line: int) -> Location:
        """The place of the 0-based ``line``."""
        return Location(self._file, line + 1 if self._numbered else None)

    def _start(self, event: yaml.Event) -> Location:
        return self.place(event.start_mark.line if event.start_mark else 0)

    def document(self, events: Iterator[yaml.Event]) -> Node:
        """The only document of the stream."""
        import yaml

        root: Node | None = None
        for event in events:
            if not isinstance(event, yaml.DocumentStartEvent):
                continue
            if root is not None:
                raise self._start(event).error("a second document begins here: one file holds one grid")
            root = self._node(next(events), events, 0)
        if root is None or root.value is None:
            raise self.place(0).error("the file is empty")
        return root

    def _node(self, event: yaml.Event, events: Iterator[yaml.Event], depth: int) -> Node:
        import yaml

        place = self._start(event)
        if isinstance(event, yaml.AliasEvent):
            raise place.error(f"the alias *{event.anchor} is not allowed: write the value out")
        started = cast("yaml.ScalarEvent | yaml.CollectionStartEvent", event)
        if started.anchor is not None:
            raise place.error(f"the anchor &{started.anchor} is not allowed: write the value out where it is needed")
        if started.tag is not None:
            tag = started.tag.replace("tag:yaml.org,2002:", "!!")
            raise place.error(f"the tag {tag} is not allowed: write plain values, in quotes where text is meant")
        if depth > MAX_DEPTH:
            raise place.error(f"nested more than {MAX_DEPTH} levels deep")
        if isinstance(event, yaml.ScalarEvent):
            return Node(scalar(event.value, place) if event.style is None else event.value, place)
        if isinstance(event, yaml.SequenceStartEvent):
            return Node(tuple(self._items(events, depth + 1)), place)
        return Node(self._entries(events, depth + 1), place)

    def _items(self, events: Iterator[yaml.Event], depth: int) -> Iterator[Node]:
        import yaml

        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            yield self._node(event, events, depth)

    def _entries(self, events: Iterator[yaml.Event], depth: int) -> dict[str, Node]:
        import yaml

        entries: dict[str, Node] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            key = self._node(event, events, depth)
            if not isinstance(key.value, str):
                raise key.place.error(f"a key must be text, not {key.plain()!r}")
            if key.value in entries:
                raise key.place.error(f"the key {key.value!r} is given twice")
            entries[key.value] = Node(self._node(next(events), events, depth).value, key.place)
        return entries
