"""Two results folders side by side: which cells moved, and whether by more than noise."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from xsam.report.analysis import Analysis, GridReport, Report
from xsam.report.comparisons import Place
from xsam.report.formats import Sheet, Text
from xsam.report.stats import BETTER, TOO_FEW, WORSE, Difference, holm, paired_difference, verdict
from xsam.report.table import Table
from xsam.report.text import cell_text, column_label, interval_text, key_label, optional_number, p_text

IDENTICAL, WITHIN_NOISE, MISSING = "identical", "within noise", "missing"
BEYOND_NOISE = (BETTER, WORSE)


@dataclass(frozen=True)
class Move:
    """One cell of both folders.

    Attributes:
        first, second: its table in each folder.
        place: row and column.
        difference: the second folder's values minus the first's, paired by seed.
        adjusted_p: the t test's p, adjusted by Holm for all cells compared.
        verdict: ``"identical"`` where every seed of both has the same value, ``"better"`` or ``"worse"`` beyond noise,
            ``"within noise"``, ``"too few seeds"``, or ``"missing"`` where a folder has no value.
    """

    first: Table
    second: Table
    place: Place
    difference: Difference
    adjusted_p: float | None
    verdict: str

    @property
    def where(self) -> str:
        """The cell in one line."""
        row, column = self.place
        return ", ".join(part for part in (self.first.title, key_label(row), column_label(self.first, column)) if part)


def moves(first: Report, second: Report) -> tuple[Move, ...]:
    """Every cell that both reports plan, in the order of the first; cells of other grids, tables or rules are left out.

    Cells are matched by their place and not by run ids, so that a change of the code's numbers can be seen.

    Example:
        >>> from pathlib import Path
        >>> from xsam.report.analysis import load_report                 # doctest: +SKIP
        >>> moves(load_report(Path("before")), load_report(Path("after")))[0].verdict   # doctest: +SKIP
        'identical'
    """
    others = {_key(grid, one): one for grid in second.grids for one in grid.analyses}
    pairs = [
        (one.table, others[_key(grid, one)].table)
        for grid in first.grids
        for one in grid.analyses
        if _key(grid, one) in others
    ]
    found = [
        (ours, theirs, (row, column), paired_difference(theirs.cells[row, column].values, cell.values))
        for ours, theirs in pairs
        for row, column, cell in ours.planned()
        if (row, column) in theirs.cells
    ]
    adjusted = holm([difference.p for *_, difference in found])
    return tuple(
        Move(ours, theirs, place, difference, p, _verdict(ours, theirs, place, difference, p))
        for (ours, theirs, place, difference), p in zip(found, adjusted, strict=True)
    )


def moved_sheet(found: Iterable[Move]) -> Sheet:
    """The cells as a sheet, one line each."""
    rows = tuple(
        (
            Text(one.where),
            Text(cell_text(one.first, one.first.cells[one.place])),
            Text(cell_text(one.second, one.second.cells[one.place])),
            Text(optional_number(one.first, one.difference.mean, sign=True)),
            Text(interval_text(one.first, one.difference.low, one.difference.high)),
            Text(p_text(one.adjusted_p)),
            Text(optional_number(one.first, one.difference.detectable)),
            Text(one.verdict),
        )
        for one in found
    )
    header = ("cell", "first", "second", "difference", "95% interval", "Holm", "detectable", "verdict")
    return Sheet("moved", "Cells that both folders have", header, 1, rows)


def _key(grid: GridReport, one: Analysis) -> tuple[str, str, str]:
    return grid.grid.name, one.table.report.name, one.table.column


def _verdict(first: Table, second: Table, place: Place, difference: Difference, p: float | None) -> str:
    ours, theirs = first.cells[place].values, second.cells[place].values
    if not ours or not theirs:
        return MISSING
    if ours == theirs:
        return IDENTICAL
    shown = verdict(difference, p, first.lower_is_better)
    return shown if shown in (*BEYOND_NOISE, TOO_FEW) else WITHIN_NOISE
