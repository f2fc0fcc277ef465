"""The matrix: every combination of the axes, collapsed where a method does not use an axis, less what is excluded."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from xsam.grid.axes import MAX_CELLS
from xsam.grid.condition import meets
from xsam.grid.diagnostics import diagnostics_of
from xsam.grid.grid import Grid
from xsam.grid.grid_document import GridDocument
from xsam.grid.names import is_grid_name
from xsam.grid.reports import reports_of
from xsam.grid.resolve import MatrixCell, resolve_cell
from xsam.grid.source import Location
from xsam.grid.spec import RunSpec
from xsam.optim.registry import METHODS
from xsam.parameters import ParameterError, Value
from xsam.plugins import loaded
from xsam.tasks import Task, Vectorising, own


@dataclass(frozen=True)
class Plan:
    """The cells after collapse, and those of them that ``exclude`` leaves (``kept``), in the order of the matrix."""

    cells: tuple[MatrixCell, ...]
    kept: tuple[MatrixCell, ...]


def expand(document: GridDocument, blame: Location | None = None) -> Plan:
    """Resolve every cell of ``document``; ``blame`` is where an empty grid is reported (default: at ``exclude``)."""
    cells = _collapsed(document)
    kept = tuple(cell for cell in cells if not any(meets(entry.condition, cell.after) for entry in document.exclude))
    if not kept:
        raise (blame or document.exclude[0].place).error("the grid is empty: exclude leaves no run")
    return Plan(cells, kept)


def check_runs(document: GridDocument, plan: Plan) -> None:
    """Raise ``GridError`` where two cells are the same run, or where a run's values do not go together."""
    _check_distinct(plan.kept, document)
    _check_one_kind(document, plan)
    checked: set[int] = set()
    for cell in plan.kept:
        first = id(cell.twin or cell)
        if first in checked:  # no task looks at the seed
            continue
        checked.add(first)
        try:
            cell.spec.config.training.check()
            document.task.check(cell.spec.config)
            _check_vectorised(document.task, cell.spec)
        except ValueError as error:
            raise cell.error(error, document.matrix) from None


def _check_vectorised(task: Task[Any], run: RunSpec) -> None:
    if not run.config.training.vectorised:
        return
    if METHODS[run.method].in_rows is None:
        raise ParameterError(f"vectorise: seeds does not train {run.method}: leave it out", "vectorise", "optimizer")
    if not isinstance(task, Vectorising):
        raise ParameterError(f"vectorise: seeds trains no {task.name}: leave it out", "vectorise")
    task.check_vectorised(run.config)


def _check_one_kind(document: GridDocument, plan: Plan) -> None:
    """Numbers of both kinds are told apart by an axis, or are not in one grid."""
    kinds = {cell.spec.config.training.vectorise for cell in plan.kept}
    if len(kinds) > 1 and "vectorise" not in document.axes:
        raise document.matrix.error(
            "some runs have vectorise: seeds and some have not, whose numbers stand in no table together: "
            "give it in params, or make it an axis"
        )


def grid_of(document: GridDocument, plan: Plan) -> Grid:
    """The grid of the kept cells; an axis lists the values that one of them has."""
    runs = tuple(cell.spec for cell in plan.kept)
    axes = {}
    for name, axis in document.axes.items():
        present = _present(name, plan.kept)
        if values := tuple(written.value for written in axis.values if written.value in present):
            axes[name] = values
    whole = is_grid_name(document.name)  # what --set changes has a name that no file may give
    report, *further = reports_of(document.report, document.task, tuple(document.axes), axes, runs, whole)
    diagnostics = None if document.diagnostics is None else diagnostics_of(document.diagnostics, runs)
    keep = document.keep_checkpoints
    names = {name for run in runs for name in run.plugins} | set(document.plugins)
    names |= set() if diagnostics is None else diagnostics.plugins
    plugins = tuple(loaded()[name].record() for name in sorted(names))
    data = tuple(own.known()[name].record() for name in sorted({name for run in runs for name in run.data}))
    tables = (report, runs, tuple(further))
    return Grid(document.name, document.task.name, axes, *tables, diagnostics, keep, plugins, data)


def _present(axis: str, cells: Iterable[MatrixCell]) -> set[Value]:
    return {cell.spec.axes[axis] for cell in cells if axis in cell.spec.axes}


def _collapsed(document: GridDocument) -> tuple[MatrixCell, ...]:
    size = math.prod(len(axis.values) for axis in document.axes.values())
    if size > MAX_CELLS:
        raise document.matrix.error(f"the matrix has {size:,} combinations, more than {MAX_CELLS:,}")
    cells: dict[tuple[tuple[str, Value], ...], MatrixCell] = {}
    for cell in _resolved(document):
        first = cells.setdefault(tuple(cell.spec.axes.items()), cell)
        if first is not cell and first.spec.run_id != cell.spec.run_id:
            raise document.matrix.error(
                f"overrides give {cell.describe()} other parameters for another value of an axis that it does not use: "
                f"{_difference(first.spec.params, cell.spec.params)}"
            )
    return tuple(cells.values())


def _resolved(document: GridDocument) -> Iterator[MatrixCell]:
    """The cell of every combination; seeds that no override tells apart share the work."""
    shared = "seed" in document.axes and not any("seed" in override.when for override in document.overrides)
    twins: dict[tuple[Value, ...], MatrixCell] = {}
    for combination in itertools.product(*(axis.values for axis in document.axes.values())):
        axes = dict(zip(document.axes, combination, strict=True))
        key = tuple(written.value for name, written in axes.items() if name != "seed" or not shared)
        if key in twins:
            yield twins[key].at_seed(axes["seed"])
            continue
        entry = document.entries[str(axes.pop("optimizer").value)]
        twins[key] = resolve_cell(document, entry, axes)
        yield twins[key]


def _difference(first: Mapping[str, Value], second: Mapping[str, Value]) -> str:
    return ", ".join(sorted(name for name in {*first, *second} if first.get(name) != second.get(name)))


def _check_distinct(cells: Iterable[MatrixCell], document: GridDocument) -> None:
    seen: dict[str, MatrixCell] = {}
    for cell in cells:
        first = seen.setdefault(cell.spec.run_id, cell)
        if first is cell:
            continue
        if first.entry.label != cell.entry.label:
            raise cell.entry.place.error(
                f"{first.entry.label!r} and {cell.entry.label!r} are the same run ({cell.describe()})"
            )
        raise document.matrix.error(f"({first.describe()}) and ({cell.describe()}) are the same run")
