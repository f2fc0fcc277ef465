"""The axes of the matrix: lists of values, and the optimizers with their labels."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from xsam.grid.names import LABELS, is_label
from xsam.grid.source import Location, Node, check_keys
from xsam.grid.vocabulary import Vocabulary, Written, show
from xsam.optim.registry import METHODS
from xsam.parameters import Value, nearest

MAX_CELLS = 100_000


@dataclass(frozen=True)
class Entry:
    """One value of the axis ``optimizer``: a label, its method and its own parameters."""

    label: str
    method: str
    own: Mapping[str, Written]
    place: Location


@dataclass(frozen=True)
class Axis:
    """The values of one axis in table order; those of ``optimizer`` are labels."""

    values: tuple[Written, ...]
    place: Location


def axis_of(name: str, node: Node, vocabulary: Vocabulary) -> Axis:
    """The axis ``name`` (not ``optimizer``) from its list; that of seeds from ``{first: M, count: N}`` too."""
    if name == "seed" and isinstance(node.value, dict):
        return Axis(tuple(Written(seed, node.place) for seed in _consecutive(node)), node.place)
    values: dict[Value, Written] = {}
    for item in _axis_items(name, node):
        written = vocabulary.value(name, item)
        if written.value in values:
            raise item.place.error(f"the axis {name!r} has the value {show(written.value)} twice")
        values[written.value] = written
    return Axis(tuple(values.values()), node.place)


def entries_of(node: Node, vocabulary: Vocabulary, known: Mapping[str, Entry]) -> dict[str, Entry]:
    """The values of the axis ``optimizer`` by their labels; a name that is a label in ``known`` means that entry."""
    entries: dict[str, Entry] = {}
    for item in _axis_items("optimizer", node):
        entry = _entry(item, vocabulary, known)
        if entry.label in entries:
            raise item.place.error(f"the axis 'optimizer' has {entry.label!r} twice")
        entries[entry.label] = entry
    return entries


def optimizer_axis(entries: Mapping[str, Entry], place: Location) -> Axis:
    """The axis ``optimizer`` of these entries."""
    return Axis(tuple(Written(label, entry.place) for label, entry in entries.items()), place)


def _axis_items(name: str, node: Node) -> tuple[Node, ...]:
    if not isinstance(node.value, tuple):
        raise node.place.error(
            f"the axis {name!r} must be a list of values, not {node.plain()!r}{_as_axis(name, node)}"
        )
    if not node.value:
        raise node.place.error(f"the axis {name!r} is empty")
    return node.value


def _as_axis(name: str, node: Node) -> str:
    """How the one value that was given is written as an axis."""
    value = node.value
    if name == "seed" and isinstance(value, int) and not isinstance(value, bool):
        return f": [{value}] is one seed, {{count: {value}}} the seeds from 0"
    if value is None or isinstance(value, dict | tuple):
        return ""
    return f": write [{show(value)}]"


def _consecutive(node: Node) -> range:
    """The seeds of ``{first: M, count: N}``; the first is 0 where it is not given."""
    entries = node.mapping("seed")
    check_keys(entries, ("first", "count"), "key of seed")
    count = entries["count"].value if "count" in entries else None
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MAX_CELLS:
        raise node.place.error(f"the count of seeds must be a whole number from 1 to {MAX_CELLS}, not {count!r}")
    first = entries["first"].value if "first" in entries else 0
    if not isinstance(first, int) or isinstance(first, bool) or first < 0:
        raise node.place.error(f"the first seed must be a whole number from 0, not {first!r}")
    return range(first, first + count)


def ranges(seeds: Iterable[int]) -> str:
    """The numbers in ascending order, three and more in a row as ``first–last``.

    >>> ranges([0, 1, 2, 3, 7, 8])
    '0–3, 7, 8'
    """
    parts = []
    for _, group in itertools.groupby(enumerate(sorted(seeds)), lambda pair: pair[1] - pair[0]):
        row = [number for _, number in group]
        parts += [f"{row[0]}–{row[-1]}"] if len(row) > 2 else [str(number) for number in row]
    return ", ".join(parts)


def _entry(node: Node, vocabulary: Vocabulary, known: Mapping[str, Entry]) -> Entry:
    if isinstance(node.value, str):
        if node.value in known:
            return known[node.value]
        return Entry(node.value, _method(node, known), {}, node.place)
    if not isinstance(node.value, dict) or len(node.value) != 1:
        raise node.place.error(
            f"an optimizer must be a name, or one label with its method ({{label: {{method: xsam, …}}}}), "
            f"not {node.plain()!r}"
        )
    ((label, body),) = node.value.items()
    if not is_label(label):
        raise body.place.error(f"a label must be {LABELS}, not {label!r}")
    own = dict(body.mapping(f"the label {label!r}"))
    if "method" not in own:
        raise body.place.error(f"the label {label!r} names no method: {{{label}: {{method: xsam, …}}}}")
    method = _method(own.pop("method"), {})
    if label in METHODS and label != method:
        raise body.place.error(
            f"the label {label!r} is the name of another method than {method!r}: choose another label"
        )
    return Entry(label, method, vocabulary.params(own), body.place)


def _method(node: Node, known: Mapping[str, Entry]) -> str:
    if not isinstance(node.value, str):
        raise node.place.error(f"a method must be a name, not {node.plain()!r}")
    if node.value not in METHODS:
        raise node.place.error(f"unknown optimizer {node.value!r}{nearest(node.value, {*METHODS, *known})}")
    return node.value
