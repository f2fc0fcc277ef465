"""What figures show, as numbers: matplotlib draws it for papers, plotly on the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xsam.metrics import Metric
from xsam.parameters import Value
from xsam.report.caveats import limit_shares
from xsam.report.comparisons import baseline_of, is_searched_xsam
from xsam.report.panel import BANDS, COLOURS, CURVES, POINTS, Line, Numbers, Panel, file_names, places_of, thinned
from xsam.report.table import ABSENT, Cell, Key, Table
from xsam.report.text import baseline_side, key_label, side_label

Curve = tuple[NDArray[np.int64], Numbers]  # epochs from 0, and a value at each
Band = tuple[Numbers, Numbers, Numbers]  # epochs from 1, mean, standard deviation (0 with one seed)

_LONG = 10  # epochs from which curves are shown as differences
_LONGEST = 400  # points of a curve: more cannot be seen at a column's width
_SPACED = ("lr", "rho", "rho_per_step", "probe_radius", "weight_decay")  # what is searched by factors
_COSTS = {"backwards": "backward passes", "wall_seconds": "wall seconds"}


def panels_of(table: Table, epochs: pd.DataFrame) -> Iterator[Panel]:
    """Everything that a table and its runs' epochs can show as a figure.

    Args:
        table: whose cells are shown.
        epochs: rows of the table ``epochs``, each run's together and in order, as ``xsam.store.read`` gives them.

    Example:
        >>> from pathlib import Path
        >>> from xsam.report.analysis import load_report                 # doctest: +SKIP
        >>> grid = load_report(Path("results")).grids[0]                 # doctest: +SKIP
        >>> [panel.name for panel in panels_of(grid.analyses[0].table, grid.epochs)]    # doctest: +SKIP
        ['learning-curve-mlp-digits', 'alpha-mlp-digits']
    """
    yield from _in_turns(
        list(sweep_panels(table)),
        list(learning_panels(table, epochs)),
        list(alpha_panels(table, epochs)),
        list(cost_panels(table)),
    )


def _in_turns(*kinds: list[Panel]) -> Iterator[Panel]:
    """One of each kind, then the next of each: so that the first few panels are some of every kind."""
    for place in range(max(map(len, kinds), default=0)):
        yield from (kind[place] for kind in kinds if place < len(kind))


def learning_panels(table: Table, epochs: pd.DataFrame) -> Iterator[Panel]:
    """One panel a row: the table's metric over the epochs; none for a metric that is not measured every epoch."""
    name, metric = table.metric.name, table.metric
    if name not in epochs.columns:
        return
    curves = curves_of(epochs, name)
    unit = _with_unit(name, metric)
    for row, panel in _over_epochs(table, curves, unit, "learning-curve", lambda cell: True):
        differences = tuple(_differences(table, row, curves))
        if differences and max(len(line.x) for line in panel.lines) >= _LONG:
            yield replace(panel, y=f"{unit} − that of {baseline_side(table)}", lines=differences)
        else:
            yield replace(panel, within=(metric.lowest, metric.highest))


def _differences(table: Table, row: Key, curves: Mapping[str, Curve]) -> Iterator[Line]:
    """Each column minus its baseline at every epoch, paired by seed: the levels themselves hide what differs."""
    places = places_in(table)
    for key, cell in distinct_cells(table, row):
        base = baseline_of(table, (row, key))
        if base is None:
            continue
        theirs = {one.seed: curves[one.run_id] for one in table.cells[base].outcomes if one.run_id in curves}
        paired = {
            one.run_id: _minus(curves[one.run_id], theirs[one.seed])
            for one in cell.outcomes
            if one.run_id in curves and one.seed in theirs
        }
        band = band_of(cell, paired)
        if band is not None:
            yield Line(places[row, key], side_label(table, key), *band)


def _minus(ours: Curve, theirs: Curve) -> Curve:
    common = _common(ours[0], theirs[0])
    mine, other = (values[np.searchsorted(epochs, common)] for epochs, values in (ours, theirs))
    return common, mine - other


def alpha_panels(table: Table, epochs: pd.DataFrame) -> Iterator[Panel]:
    """One panel a row: XSAM's searched alpha over the epochs, with the share of searches that end on their limit."""
    curves, shares = curves_of(epochs, "alpha"), limit_shares(table, epochs)
    for row, panel in _over_epochs(table, curves, "alpha", "alpha", lambda cell: is_searched_xsam(cell.spec)):
        found = [share for (where, _), share in shares.items() if where == row]
        limit = f"; {sum(found) / len(found):.0%} of searches end on alpha_max" if any(found) else ""
        yield replace(panel, title=f"{panel.title}{limit}", within=(0.0, math.inf))


def _over_epochs(
    table: Table, curves: Mapping[str, Curve], unit: str, prefix: str, wanted: Callable[[Cell], bool]
) -> Iterator[tuple[Key, Panel]]:
    names, places = file_names(prefix, table.rows), places_in(table)
    for row in table.rows:
        lines = []
        for key, cell in distinct_cells(table, row):
            band = band_of(cell, curves) if wanted(cell) else None
            if band is not None:
                lines.append(Line(places[row, key], side_label(table, key), *band))
        if lines:
            yield row, Panel(names[row], BANDS, title_of(table, row), "epoch", unit, tuple(lines))


def distinct_cells(table: Table, row: Key) -> Iterator[tuple[Key, Cell]]:
    """The cells of a row that have curves or points of their own: runs that several labels share are drawn once."""
    seen = set()
    for column in table.columns:
        cell = table.cells.get((row, column))
        if cell is not None and cell.run_ids not in seen:
            seen.add(cell.run_ids)
            yield column, cell


def places_in(table: Table) -> dict[tuple[Key, Key], int]:
    """Row and column → place: that of the cell's label; columns of one label (several k) differ in their dashes."""
    labels = places_of(table.labels)
    variants: dict[str, dict[Key, int]] = {}
    found: dict[tuple[Key, Key], int] = {}
    for row, column, cell in table.planned():
        own = variants.setdefault(cell.label, {})
        found[row, column] = labels[cell.label] + len(COLOURS) * own.setdefault(column, len(own))
    return found


def curves_of(epochs: pd.DataFrame, column: str) -> Mapping[str, Curve]:
    """Run id → the column over the epochs, without values that are not there."""
    found = epochs[["run_id", "epoch", column]].dropna()
    if found.empty:
        return {}
    run_ids, at = found["run_id"].to_numpy(dtype=object), found["epoch"].to_numpy(dtype=np.int64)
    values = found[column].to_numpy(dtype=np.float64)
    starts = [0, *(np.flatnonzero(run_ids[1:] != run_ids[:-1]) + 1)]
    spans = zip(starts, [*starts[1:], len(run_ids)], strict=True)
    return {str(run_ids[start]): (at[start:end], values[start:end]) for start, end in spans}


def band_of(cell: Cell, curves: Mapping[str, Curve]) -> Band | None:
    """Mean and sample standard deviation over the seeds of a cell, at the epochs that all of them have."""
    found = [curves[one.run_id] for one in cell.outcomes if one.status != "missing" and one.run_id in curves]
    if not found:
        return None
    common = reduce(_common, (epochs for epochs, _ in found))
    if not len(common):
        return None
    common = common[thinned(len(common), _LONGEST)]
    values = np.stack([seen[np.searchsorted(epochs, common)] for epochs, seen in found])
    at: Numbers = common.astype(np.float64) + 1
    mean: Numbers = values.mean(axis=0)
    spread: Numbers = values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(len(common))
    return at, mean, spread


def _common(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    if np.array_equal(one, other):
        return one
    found: NDArray[np.int64] = np.intersect1d(one, other)
    return found


def sweep_panels(table: Table) -> Iterator[Panel]:
    """One panel for each axis of two or more numbers and each place of the others.

    Sides that do not use the axis (SGD has no ascent steps) are level lines.
    """
    axes = (*table.row_axes, *table.column_axes)
    for position, axis in enumerate(axes):
        values = {(*row, *column)[position] for row, column, _ in table.planned()} - {ABSENT}
        if len(values) > 1 and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            yield from _sweeps(table, axis, position)


def _sweeps(table: Table, axis: str, position: int) -> Iterator[Panel]:
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
        lines = [_sweep(_side_place(table, group, side), key_label(side), cells) for side, cells in group.items()]
        drawn = tuple(line for line in lines if len(line.x))
        if any(len(line.x) > 1 for line in drawn):
            least = min(at for line in drawn for at in line.x if not math.isnan(at))
            x, log_x = axis.replace("_", " "), axis in _SPACED and least > 0
            yield Panel(
                names[key],
                CURVES,
                key_label(key) or table.title,
                x,
                _with_unit(table.column, table.metric),
                drawn,
                log_x,
                (table.metric.lowest, table.metric.highest),
            )


def _side_place(table: Table, group: Mapping[Key, Mapping[Value, Cell]], side: Key) -> int:
    """The place of a side's label; sides of one label differ in their dashes."""
    names = {one: next(iter(cells.values())).label for one, cells in group.items()}
    alike = [one for one, name in names.items() if name == names[side]]
    return places_of(table.labels)[names[side]] + len(COLOURS) * alike.index(side)


def _sweep(place: int, label: str, cells: Mapping[Value, Cell]) -> Line:
    found = ((value, cell) for value, cell in cells.items() if cell.mean is not None)
    listed: list[tuple[Any, Cell]] = [(math.nan if value == ABSENT else value, cell) for value, cell in found]
    points = sorted(((float(at), *_mean_and_spread(cell)) for at, cell in listed), key=lambda point: point[0])
    x, mean, spread = zip(*points, strict=True) if points else ((), (), ())
    return Line(place, label, x, mean, spread)


def cost_panels(table: Table) -> Iterator[Panel]:
    """Two panels a row: each column's mean over its backward passes, and over its wall time, where it is not that.

    A panel is left out where all columns cost the same.
    """
    places = places_in(table)
    for cost, unit in _COSTS.items():
        if cost == table.column:
            continue
        names = file_names(f"cost-{cost.replace('_', '-')}", table.rows)
        for row in table.rows:
            lines = [
                Line(places[row, key], side_label(table, key), [at], [cell.mean], [cell.std or 0.0])
                for key, cell in distinct_cells(table, row)
                if cell.mean is not None and (at := cell.cost(cost)) is not None
            ]
            if len({line.x[0] for line in lines}) > 1:
                yield Panel(
                    names[row], POINTS, title_of(table, row), unit, _with_unit(table.column, table.metric), tuple(lines)
                )


def _with_unit(column: str, metric: Metric) -> str:
    return f"{column} ({metric.unit})" if metric.unit else column


def _mean_and_spread(cell: Cell) -> tuple[float, float]:
    return cell.mean or 0.0, cell.std or 0.0


def title_of(table: Table, row: Key) -> str:
    """What a figure of one row of the table is called."""
    return key_label(row) or table.title
