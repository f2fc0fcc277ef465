"""The parser's events made into nodes; it alone imports YAML, when the first file is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import yaml

from xsam.grid.source import Location, Node, scalar

MAX_DEPTH = 20


def parse(text: str, file: str, numbered: bool) -> Node:
    """The one document of ``text``; raises ``GridError``, which names a line where they are ``numbered``."""
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
        place = self._start(event)
        if isinstance(event, yaml.AliasEvent):
            raise place.error(f"the alias *{event.anchor} is not allowed: write the value out")
        started = cast(yaml.ScalarEvent | yaml.CollectionStartEvent, event)
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
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            yield self._node(event, events, depth)

    def _entries(self, events: Iterator[yaml.Event], depth: int) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            key = self._node(event, events, depth)
            if not isinstance(key.value, str):
                raise key.place.error(f"a key must be text, not {key.plain()!r}")
            if key.value in entries:
                raise key.place.error(f"the key {key.value!r} is given twice")
            entries[key.value] = Node(self._node(next(events), events, depth).value, key.place)
        return entries
