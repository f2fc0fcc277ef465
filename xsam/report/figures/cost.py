"""What is reached for what it costs."""

from __future__ import annotations

from collections.abc import Iterator

from matplotlib.figure import Figure

from xsam.report.figures.style import file_names, finish, look, new_figure, side, title_of
from xsam.report.table import Key, Table

_COSTS = {"backwards": "backward passes", "wall_seconds": "wall seconds"}


def accuracy_against_cost(table: Table) -> Iterator[tuple[str, Figure]]:
    """Two figures a row: each column's mean over its backward passes, and over its wall time, with deviations."""
    for cost, unit in _COSTS.items():
        names = file_names(f"cost-{cost.replace('_', '-')}", table.rows)
        for row in table.rows:
            drawn = [key for key in table.columns if _has(table, row, key, cost)]
            if len(drawn) > 1:
                yield names[row], _figure(table, row, drawn, cost, unit)


def _has(table: Table, row: Key, column: Key, cost: str) -> bool:
    cell = table.cells.get((row, column))
    return cell is not None and cell.mean is not None and cell.cost(cost) is not None


def _figure(table: Table, row: Key, columns: list[Key], cost: str, unit: str) -> Figure:
    figure, axes = new_figure(title_of(table, row), unit, table.column)
    for place, key in enumerate(table.columns):
        if key in columns:
            cell = table.cells[row, key]
            style = {**look(place), "linestyle": "none"}
            point = [cell.cost(cost) or 0.0], [cell.mean or 0.0], [cell.std or 0.0]
            axes.errorbar(*point, capsize=2, label=side(table, key), **style)
    finish(axes)
    return figure
