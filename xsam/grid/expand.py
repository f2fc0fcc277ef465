"""The matrix: every combination of the axes, collapsed where a method does not use an axis, less what is excluded."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from xsam.grid.axes import MAX_CELLS
from xsam.grid.diagnostics import diagnostics_of
from xsam.grid.grid import Grid
from xsam.grid.layout import Layout
from xsam.grid.resolve import Cell, meets, resolve_cell
from xsam.grid.source import Place
from xsam.grid.table import reports_of
from xsam.parameters import Value


@dataclass(frozen=True)
class Plan:
    """The cells after collapse, and those of them that ``exclude`` leaves (``kept``), in the order of the matrix."""

    cells: tuple[Cell, ...]
    kept: tuple[Cell, ...]


def expand(layout: Layout, blame: Place | None = None) -> Plan:
    """Resolve every cell of ``layout``; ``blame`` is where an empty grid is reported (default: at ``exclude``)."""
    cells = _collapsed(layout)
    kept = tuple(cell for cell in cells if not any(meets(entry.condition, cell.after) for entry in layout.exclude))
    if not kept:
        raise (blame or layout.exclude[0].place).error("the grid is empty: exclude leaves no run")
    return Plan(cells, kept)


def check_runs(layout: Layout, plan: Plan) -> None:
    """Raise ``GridError`` where two cells are the same run, or where a run's values do not go together."""
    _check_distinct(plan.kept, layout)
    checked: set[int] = set()
    for cell in plan.kept:
        first = id(cell.twin or cell)
        if first in checked:  # no task looks at the seed
            continue
        checked.add(first)
        try:
            cell.spec.config.training.check()
            layout.task.check(cell.spec.config)
        except ValueError as error:
            raise cell.error(error, layout.matrix) from None


def grid_of(layout: Layout, plan: Plan) -> Grid:
    """The grid of the kept cells; an axis lists the values that one of them has."""
    runs = tuple(cell.spec for cell in plan.kept)
    axes = {}
    for name, axis in layout.axes.items():
        present = _present(name, plan.kept)
        if values := tuple(written.value for written in axis.values if written.value in present):
            axes[name] = values
    report, *further = reports_of(layout.report, layout.task, tuple(layout.axes), axes, runs)
    diagnostics = None if layout.diagnostics is None else diagnostics_of(layout.diagnostics, runs)
    return Grid(layout.name, layout.task.name, axes, report, runs, tuple(further), diagnostics)


def _present(axis: str, cells: Iterable[Cell]) -> set[Value]:
    return {cell.spec.axes[axis] for cell in cells if axis in cell.spec.axes}


def _collapsed(layout: Layout) -> tuple[Cell, ...]:
    size = math.prod(len(axis.values) for axis in layout.axes.values())
    if size > MAX_CELLS:
        raise layout.matrix.error(f"the matrix has {size:,} combinations, more than {MAX_CELLS:,}")
    cells: dict[tuple[tuple[str, Value], ...], Cell] = {}
    for cell in _resolved(layout):
        first = cells.setdefault(tuple(cell.spec.axes.items()), cell)
        if first is not cell and first.spec.run_id != cell.spec.run_id:
            raise layout.matrix.error(
                f"overrides give {cell.describe()} other parameters for another value of an axis that it does not use: "
                f"{_difference(first.spec.params, cell.spec.params)}"
            )
    return tuple(cells.values())


def _resolved(layout: Layout) -> Iterator[Cell]:
    """The cell of every combination; seeds that no override tells apart share the work."""
    shared = "seed" in layout.axes and not any("seed" in override.when for override in layout.overrides)
    twins: dict[tuple[Value, ...], Cell] = {}
    for combination in itertools.product(*(axis.values for axis in layout.axes.values())):
        axes = dict(zip(layout.axes, combination, strict=True))
        key = tuple(written.value for name, written in axes.items() if name != "seed" or not shared)
        if key in twins:
            yield twins[key].at_seed(axes["seed"])
            continue
        entry = layout.entries[str(axes.pop("optimizer").value)]
        twins[key] = resolve_cell(layout, entry, axes)
        yield twins[key]


def _difference(first: Mapping[str, Value], second: Mapping[str, Value]) -> str:
    return ", ".join(sorted(name for name in {*first, *second} if first.get(name) != second.get(name)))


def _check_distinct(cells: Iterable[Cell], layout: Layout) -> None:
    seen: dict[str, Cell] = {}
    for cell in cells:
        first = seen.setdefault(cell.spec.run_id, cell)
        if first is cell:
            continue
        if first.entry.label != cell.entry.label:
            raise cell.entry.place.error(
                f"{first.entry.label!r} and {cell.entry.label!r} are the same run ({cell.describe()})"
            )
        raise layout.matrix.error(f"({first.describe()}) and ({cell.describe()}) are the same run")
