"""YAML files as trees of nodes; everything that cannot be read is one ``GridError``.

The dialect is smaller than YAML 1.1, so that a grid means what it looks like: unquoted ``true``, ``false``, ``null``
and numbers (``1e-3`` too) have a type, everything else is text (``on``, ``no``, ``1:30``, ``0x10``, ``010``,
``2024-01-01``). Tags, anchors, aliases, keys that are not text and keys given twice are errors.
"""

from __future__ import annotations

from pathlib import Path

from xsam.grid.source import GridError, Node


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
    from xsam.grid.yaml_reader import parse  # --help, and verbs about stored grids, read no file

    return parse(text, file, numbered)
