"""Curves over an axis of the grid: ascent steps, rho, or any other number."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from matplotlib.figure import Figure

from xsam.parameters import Value
from xsam.report.figures.style import file_names, finish, look, new_figure
from xsam.report.table import ABSENT, Cell, Key, Table
from xsam.report.text import key_label

Points = list[tuple[float, float, float]]  # value of the axis (NaN: not used), mean, standard deviation

_SPACED = ("lr", "rho", "rho_per_step", "probe_radius", "weight_decay")  # what is searched by factors


def sweep_curves(table: Table) -> Iterator[tuple[str, Figure]]:
    """One figure for each axis of two or more numbers and each place of the others: mean and deviation over seeds.

    Sides that do not use the axis (SGD has no ascent steps) are drawn as level lines.
    """
    axes = (*table.row_axes, *table.column_axes)
    for position, axis in enumerate(axes):
        values = {(*row, *column)[position] for row, column, _ in table.planned()} - {ABSENT}
        if len(values) > 1 and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            yield from _sweeps(table, axis, position)


def _sweeps(table: Table, axis: str, position: int) -> Iterator[tuple[str, Figure]]:
    axes = (*table.row_axes, *table.column_axes)
    apart = [place for place, name in enumerate(axes) if name in ("model", "dataset") and place != position]
    sides = [place for place in range(len(axes)) if place not in (position, *apart)]
    groups: dict[Key, dict[Key, dict[Value, Cell]]] = {}
    for row, column, cell in table.planned():
        whole = (*row, *column)
        # A run without the axis stands in every row, and is still one run.
        value = whole[position] if axis in cell.spec.axes else ABSENT
        group = groups.setdefault(tuple(whole[place] for place in apart), {})
        group.setdefault(tuple(whole[place] for place in sides), {})[value] = cell
    names = file_names(axis.replace("_", "-"), groups)
    for key, group in groups.items():
        curves = {side: _points(cells) for side, cells in group.items()}
        if any(len(points) > 1 for points in curves.values()):
            yield names[key], _figure(table, axis, key, curves)


def _points(cells: Mapping[Value, Cell]) -> Points:
    found = ((value, cell) for value, cell in cells.items() if cell.mean is not None)
    listed = [(math.nan if value == ABSENT else float(value), cell) for value, cell in found]  # type: ignore[arg-type]
    return sorted(((at, cell.mean or 0.0, cell.std or 0.0) for at, cell in listed), key=lambda point: point[0])


def _figure(table: Table, axis: str, key: Key, curves: Mapping[Key, Points]) -> Figure:
    figure, axes = new_figure(key_label(key) or table.title, axis.replace("_", " "), table.column)
    drawn = [(look(place), key_label(side), points) for place, (side, points) in enumerate(curves.items()) if points]
    for style, label, points in drawn:
        if all(math.isnan(at) for at, _, _ in points):
            axes.axhline(points[0][1], color=style["color"], linestyle=":", label=label)
        else:
            at, means, spreads = zip(*points, strict=True)
            axes.errorbar(at, means, spreads, capsize=2, label=label, **style)
    values = [point[0] for _, _, points in drawn for point in points if not math.isnan(point[0])]
    if axis in _SPACED and min(values) > 0:
        axes.set_xscale("log")
    finish(axes)
    return figure
