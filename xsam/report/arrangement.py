"""Where the axes of a table stand in a paper, and what people call their values."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from xsam.parameters import Value
from xsam.report.comparisons import OPTIMIZER, Place
from xsam.report.table import ABSENT, Key, Table
from xsam.report.text import label

_SYMBOLS = {"rho": "ρ", "alpha": "α", "lr": "η"}
_OUTERMOST = ("dataset", "model")  # of what stands across


@dataclass(frozen=True)
class Arrangement:
    """Which axes of a table stand where.

    Attributes:
        down: the axis of the rows.
        across: the axes of the columns, the outermost first; each has several values.
        fixed: axis → its only value, of the others.
        places: (row, columns' values) → the cell and where it stands in the table.
        rows, columns: in order.
    """

    down: str
    across: tuple[str, ...]
    fixed: Mapping[str, Value]
    places: Mapping[tuple[Value, Key], Place]
    rows: tuple[Value, ...]
    columns: tuple[Key, ...]


@cache
def packaged_names() -> Mapping[tuple[str, str], str]:
    """Axis and value → what people call it, of what comes with the package."""
    text = (files("xsam.report") / "names.csv").read_text(encoding="utf-8")
    return {(row["axis"], row["value"]): row["name"] for row in csv.DictReader(text.splitlines())}


def name_of(table: Table, axis: str, value: Value) -> str:
    """What people call a value of an axis: by the table's own ``names``, then by the packaged ones, then as it is.

    Example:
        >>> name_of(table, "model", "resnet18")                          # doctest: +SKIP
        'ResNet-18'
    """
    written = label(value)
    known = packaged_names()
    if written in table.report.names or axis != OPTIMIZER or (axis, written) in known:
        return table.report.names.get(written) or known.get((axis, written), written)
    # A label of a grid's own mostly begins with its method: xsam_rho_0.05.
    methods = [name for where, name in known if where == OPTIMIZER and written.startswith(f"{name}_")]
    method = max(methods, key=len, default="")
    rest = " ".join(_SYMBOLS.get(word, word) for word in written.removeprefix(f"{method}_").split("_"))
    return f"{known[axis, method]} ({rest})" if method else written


def axis_name(axis: str) -> str:
    """What people call an axis.

    >>> axis_name("ascent_steps"), axis_name("hidden")
    ('k', 'hidden')
    """
    return packaged_names().get(("axis", axis), axis.replace("_", " "))


def arranged(table: Table) -> Arrangement:
    """Methods down and everything else that varies across; without methods, the table's rows and columns as they are.

    A run that does not use an axis (SGD has no ascent steps) stands at each of its values.
    """
    axes = (*table.row_axes, *table.column_axes)
    listed = [(row, column) for row, column, _ in table.planned()]
    values: dict[str, dict[Value, None]] = {axis: {} for axis in axes}
    for row, column in listed:
        for axis, value in zip(axes, (*row, *column), strict=True):
            if value != ABSENT:
                values[axis][value] = None
    varying = [axis for axis in axes if len(values[axis]) > 1]
    down = OPTIMIZER if OPTIMIZER in axes else next(iter([*varying, *axes]), "")
    across = sorted((axis for axis in varying if axis != down), key=_outward)
    exact: dict[tuple[Value, Key], Place] = {}
    for place in listed:
        whole = dict(zip(axes, (*place[0], *place[1]), strict=True))
        exact.setdefault((whole.get(down, ""), tuple(whole[axis] for axis in across)), place)
    columns = _columns(table, [key for _, key in exact], across)
    rows = tuple(dict.fromkeys(row for row, _ in exact))
    order = {value: place for place, (value, _) in enumerate(_ordered(table, down, rows))}
    found = {(row, column): _at(exact, row, column) for row in rows for column in columns}
    places = {at: place for at, place in found.items() if place is not None}
    fixed = {axis: next(iter(found)) for axis, found in values.items() if len(found) == 1 and axis != down}
    return Arrangement(down, tuple(across), fixed, places, tuple(sorted(rows, key=order.__getitem__)), columns)


def _outward(axis: str) -> int:
    return _OUTERMOST.index(axis) if axis in _OUTERMOST else len(_OUTERMOST)


def _ordered(table: Table, down: str, rows: Iterable[Value]) -> Iterator[tuple[Value, None]]:
    axes = (*table.row_axes, *table.column_axes)
    place = axes.index(down) if down in axes else 0
    keys = [key[place] for key in table.rows] if place < len(table.row_axes) else []
    if not keys and table.column_axes:
        keys = [key[place - len(table.row_axes)] for key in table.columns]
    yield from dict.fromkeys([*keys, *rows]).items()


def _columns(table: Table, keys: Iterable[Key], across: Sequence[str]) -> tuple[Key, ...]:
    axes = (*table.row_axes, *table.column_axes)
    orders = []
    for axis in across:
        place, rows = axes.index(axis), len(table.row_axes)
        found = [key[place] for key in table.rows] if place < rows else [key[place - rows] for key in table.columns]
        orders.append({value: number for number, value in enumerate(dict.fromkeys(found))})
    full = {key for key in keys if ABSENT not in key} or set(keys)
    return tuple(sorted(full, key=lambda key: [order[value] for order, value in zip(orders, key, strict=True)]))


def _at(exact: Mapping[tuple[Value, Key], Place], row: Value, column: Key) -> Place | None:
    if (row, column) in exact:
        return exact[row, column]
    for (other, key), place in exact.items():
        if other == row and all(own in (ABSENT, value) for own, value in zip(key, column, strict=True)):
            return place
    return None
