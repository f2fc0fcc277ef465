"""Curves over the epochs: how the metric is learned, and where alpha goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from xsam.report.claims import is_searched_xsam
from xsam.report.figures.style import file_names, finish, look, new_figure, side, title_of
from xsam.report.table import Cell, Key, Table

_LONGEST = 400  # points of a curve: more cannot be seen at this width


def learning_curves(table: Table, epochs: pd.DataFrame) -> Iterator[tuple[str, Figure]]:
    """One figure a row: the table's metric over the epochs, mean and standard deviation over seeds.

    Args:
        table: whose cells are drawn; the metric must be one that is measured every epoch.
        epochs: rows of the table ``epochs``.
    """
    if table.metric in epochs.columns:
        unit = f"{table.metric} (%)" if "accuracy" in table.metric else table.metric
        yield from _over_epochs(table, epochs, table.metric, unit, "learning-curve", lambda cell: True)


def alpha_curves(table: Table, epochs: pd.DataFrame) -> Iterator[tuple[str, Figure]]:
    """One figure a row: XSAM's searched alpha over the epochs, mean and standard deviation over seeds."""
    yield from _over_epochs(table, epochs, "alpha", "alpha", "alpha", lambda cell: is_searched_xsam(cell.spec))


def _over_epochs(
    table: Table, epochs: pd.DataFrame, column: str, unit: str, prefix: str, wanted: Callable[[Cell], bool]
) -> Iterator[tuple[str, Figure]]:
    curves = curves_of(epochs, column)
    names = file_names(prefix, table.rows)
    for row in table.rows:
        drawn = []
        for place, key in enumerate(table.columns):
            cell = table.cells.get((row, key))
            band = band_of(cell, curves) if cell is not None and wanted(cell) else None
            if band is not None:
                drawn.append((place, key, band))
        if drawn:
            yield names[row], _bands(table, row, unit, drawn)


Curve = Any  # pandas.Series: a value for each epoch
Band = tuple[
    NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]
]  # epochs from 1, mean, standard deviation (0 with one seed)


def curves_of(epochs: pd.DataFrame, column: str) -> Mapping[str, Curve]:
    """Run id → the column's values by epoch, without those that are not there."""
    found = epochs[["run_id", "epoch", column]].dropna()
    return {str(run_id): rows.set_index("epoch")[column] for run_id, rows in found.groupby("run_id")}


def band_of(cell: Cell, curves: Mapping[str, Curve]) -> Band | None:
    """Mean and sample standard deviation over the seeds of a cell, at the epochs that all of them have."""
    series = [curves[one.run_id] for one in cell.outcomes if one.status != "missing" and one.run_id in curves]
    if not series:
        return None
    together = pd.concat(series, axis=1, join="inner")
    if together.empty:
        return None
    step = -(-len(together) // _LONGEST)
    values = together.to_numpy(dtype=float)[::-1][::step][::-1]  # the last epoch is one of them
    at = together.index.to_numpy(dtype=float)[::-1][::step][::-1] + 1
    spread = values.std(axis=1, ddof=1) if values.shape[1] > 1 else np.zeros(len(values))
    return at, values.mean(axis=1), spread


def _bands(table: Table, row: Key, unit: str, drawn: list[tuple[int, Key, Band]]) -> Figure:
    figure, axes = new_figure(title_of(table, row), "epoch", unit)
    for place, key, (at, mean, spread) in drawn:
        style = look(place)
        axes.plot(at, mean, color=style["color"], linestyle=style["linestyle"], label=side(table, key))
        axes.fill_between(at, mean - spread, mean + spread, color=style["color"], alpha=0.18, linewidth=0)
    finish(axes)
    return figure
