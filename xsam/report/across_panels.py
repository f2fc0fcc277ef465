"""What a table says over all its cells as figures: performance profiles, and mean ranks that can be told apart."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from xsam.report.comparisons import Comparison
from xsam.report.overall import ranked
from xsam.report.panel import BANDS, POINTS, Line, Panel
from xsam.report.panels import places_in
from xsam.report.table import Key, Table
from xsam.report.text import baseline_side, p_text, side_label
from xsam.stats import performance_profile, profile_band

_TASKS = ("model", "dataset")


def across_panels(table: Table, compared: Sequence[Comparison]) -> Iterator[Panel]:
    """The performance profile of a table with several models or data sets, and its mean ranks from five data sets on.

    Args:
        table: the table.
        compared: every cell against its baseline (:func:`xsam.report.comparisons.comparisons`).

    Example:
        >>> [panel.name for panel in across_panels(one.table, one.comparisons)]      # doctest: +SKIP
        ['profile', 'mean-ranks']
    """
    yield from profile_panels(table, compared)
    yield from rank_panels(table)


def profile_panels(table: Table, compared: Sequence[Comparison]) -> Iterator[Panel]:
    """Threshold → the share of runs whose paired difference to the baseline is larger, over all cells.

    The score distribution of Agarwal et al. (2021, section 4.2) with its pointwise 95% band by the stratified
    bootstrap. Scores must be comparable across cells, which levels of accuracy on several data sets are not; paired
    differences are, and carry the baseline's spread too. Larger is better on every axis: of metrics where less is
    better the signs are changed. A run that failed is below every threshold, one whose baseline failed above.

    One panel, where two models or data sets or more are compared; columns without pairs in one of the cells are left
    out, so that all curves are of the same cells, and so are rows that share the runs of their baseline.
    """
    scores = _scores(table, compared)
    finite = [value for cells in scores.values() for cell in cells for value in cell if math.isfinite(value)]
    if not finite:
        return
    low, high = min(0.0, *finite), max(0.0, *finite)
    beside = (high - low or 1.0) * 0.04  # so that every curve begins at its highest and ends at its lowest
    places = {column: place for (_, column), place in places_in(table).items()}
    lines = []
    for column, cells in scores.items():
        steps = sorted({value for cell in cells for value in cell if math.isfinite(value)})
        marks = [low - beside, *steps]  # between two of them, nothing changes
        drawn = performance_profile(cells, marks), *profile_band(cells, marks)
        share, below, above = (100 * np.repeat(np.asarray(one), 2) for one in drawn)
        x = [marks[0], *(step for step in steps for _ in range(2)), high + beside]
        lines.append(Line(places[column], side_label(table, column), x, share, (above - below) / 2, (below, above)))
    number = len(next(iter(scores.values())))
    unit = f" ({table.metric.unit})" if table.metric.unit else ""
    signs = ", sign changed" if table.lower_is_better else ""
    yield Panel(
        "profile", BANDS, f"{table.title}: performance profile over {number}\u00a0cells, 95% bootstrap band",
        f"better than {baseline_side(table)} by more than{unit}{signs}", "share of runs, paired by seed (%)",
        tuple(lines), within=(0.0, 100.0),
    )  # fmt: skip


def _scores(table: Table, compared: Sequence[Comparison]) -> Mapping[Key, list[tuple[float, ...]]]:
    """Column → the paired differences in each cell, the higher the better; nothing with fewer than two cells."""
    tasks = [place for place, axis in enumerate(table.row_axes) if axis in _TASKS]
    sign = -1.0 if table.lower_is_better else 1.0
    columns: dict[Key, dict[Key, tuple[float, ...]]] = {}
    runs: dict[Key, dict[Key, tuple[tuple[str, ...], ...]]] = {}
    for one in compared:
        values = one.difference.ranked or one.difference.values
        if values:
            row, column = one.place
            columns.setdefault(column, {})[row] = tuple(sign * value for value in values)
            pair = tuple(table.cells[place].run_ids for place in (one.place, one.baseline))
            runs.setdefault(column, {})[row] = pair
    rows = {row for found in columns.values() for row in found}
    if len({tuple(row[place] for place in tasks) for row in rows}) < 2:
        return {}
    found: dict[Key, list[tuple[float, ...]]] = {}
    seen = set()
    for column, cells in columns.items():
        pairs = tuple(runs[column][row] for row in table.rows if row in cells)
        # Rows against one and the same baseline run (numbers of ascent steps against SGD) are no cells of their own, as
        # the bootstrap takes them to be; columns that share their runs are drawn once.
        own = len({run for _, bases in pairs for run in bases}) == sum(len(bases) for _, bases in pairs)
        if cells.keys() == rows and own and pairs not in seen:
            seen.add(pairs)
            found[column] = [cells[row] for row in table.rows if row in cells]
    return found


def rank_panels(table: Table) -> Iterator[Panel]:
    """Mean ranks over data sets, the best first, each with half of Nemenyi's critical difference on either side.

    Two methods differ by more than the critical difference (Demšar, 2006) exactly where their bars have no rank in
    common. None below five data sets or three methods, as :func:`xsam.report.overall.ranked` says.
    """
    found = ranked(table)
    if found is None:
        return
    places = {column: place for (_, column), place in places_in(table).items()}
    lines = tuple(
        Line(places[column], side_label(table, column), [number], [rank], [found.critical_difference / 2])
        for number, (column, rank) in enumerate(sorted(found.ranks.items(), key=lambda item: item[1]), start=1)
    )
    yield Panel(
        "mean-ranks", POINTS,
        f"{table.title}: ranks over {found.data_sets} data sets, Friedman\u00a0p\u00a0=\u00a0{p_text(found.p)}",
        f"methods, best first; bars apart: told apart (Nemenyi, difference {found.critical_difference:.2f})",
        "mean rank (1: best)", lines,
    )  # fmt: skip
