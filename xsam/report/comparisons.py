"""What a table says beyond its means: every comparison, adjusted for their number, and who wins how often."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from xsam.parameters import Value
from xsam.report.stats import BETTER, WORSE, Difference, holm, mean_ranks, paired_difference, verdict
from xsam.report.table import ABSENT, Cell, Key, Table

OPTIMIZER = "optimizer"

Place = tuple[Key, Key]
Pair = tuple[Place, Place]


@dataclass(frozen=True)
class Comparison:
    """One cell against its baseline.

    Attributes:
        place: row and column of the cell.
        baseline: row and column of the cell that is subtracted.
        difference: the cell minus its baseline, paired by seed.
        expected: how many pairs are planned.
        adjusted_p: the t test's p, adjusted by Holm for all comparisons of its family; ``None`` where there is none.
        verdict: what it shows, in the words of ``xsam.report.stats``.
    """

    place: Place
    baseline: Place
    difference: Difference
    expected: int
    adjusted_p: float | None
    verdict: str


@dataclass(frozen=True)
class Standing:
    """How one column does over the rows of a table.

    Attributes:
        column: the column.
        wins, ties, losses: rows in which it is better than its baseline, undecided, or worse.
        rank: mean rank of its means over the rows that are complete in every ranked column; ``None`` without one.
        rows: the number of those rows.
    """

    column: Key
    wins: int
    ties: int
    losses: int
    rank: float | None
    rows: int


def comparisons(table: Table) -> tuple[Comparison, ...]:
    """Every cell of ``table`` against its baseline: the report's ``baseline``, or else the first column.

    Runs that stand in several rows are one comparison, and count once.

    Example:
        >>> [one.verdict for one in comparisons(table)]                  # doctest: +SKIP
        ['better', 'undecided']
    """
    return compare(table, _pairs(table))


def compare(table: Table, pairs: Iterable[Pair]) -> tuple[Comparison, ...]:
    """Each pair (place, baseline) of ``table`` as a comparison; together they are one family of tests."""
    found: dict[tuple[tuple[str, ...], tuple[str, ...]], Difference] = {}
    listed = [(place, base, (_runs(table.cells[place]), _runs(table.cells[base]))) for place, base in pairs]
    for place, base, runs in listed:
        if runs not in found:
            found[runs] = paired_difference(table.cells[place].values, table.cells[base].values)
    adjusted = dict(zip(found, holm([difference.p for difference in found.values()]), strict=True))
    return tuple(
        Comparison(
            place,
            base,
            found[runs],
            table.cells[place].expected,
            adjusted[runs],
            verdict(found[runs], adjusted[runs], table.lower_is_better),
        )
        for place, base, runs in listed
    )


def standings(table: Table, compared: Sequence[Comparison]) -> tuple[Standing, ...]:
    """Wins, ties, losses and the mean rank of each column; means are ranked as they are, not as they are rounded.

    A row is ranked where every column that has a complete cell anywhere has one there.
    """
    verdicts: dict[Key, list[str]] = {}
    for one in compared:
        verdicts.setdefault(one.place[1], []).append(one.verdict)
    rows = [
        {column: cell.mean for column in table.columns if (cell := _complete(table, (row, column))) is not None}
        for row in table.rows
    ]
    ranked = {column for row in rows for column in row}
    full = [
        {column: mean for column, mean in row.items() if mean is not None}
        for row in rows
        if row and row.keys() == ranked
    ]
    ranks = mean_ranks(full, table.lower_is_better)
    return tuple(
        Standing(
            column,
            verdicts.get(column, []).count(BETTER),
            sum(one not in (BETTER, WORSE) for one in verdicts.get(column, [])),
            verdicts.get(column, []).count(WORSE),
            ranks.get(column),
            len(full),
        )
        for column in table.columns
    )


def partner(table: Table, place: Place, label: Value) -> Place | None:
    """The place of the optimizer ``label`` with the other axes of ``place``, as far as it uses them; or ``None``."""
    axes = (*table.row_axes, *table.column_axes)
    wanted = tuple(
        label if axis == OPTIMIZER else value for axis, value in zip(axes, (*place[0], *place[1]), strict=True)
    )
    choices = [wanted]
    for position, axis in enumerate(axes):
        if axis != OPTIMIZER:
            choices += [(*one[:position], ABSENT, *one[position + 1 :]) for one in choices if one[position] != ABSENT]
    rows = len(table.row_axes)
    places = ((one[:rows], one[rows:]) for one in choices)
    return next((other for other in places if other in table.cells), None)


def _pairs(table: Table) -> Iterator[Pair]:
    for row, column, _ in table.planned():
        if table.report.baseline:
            base = partner(table, (row, column), table.report.baseline)
        else:
            base = (row, table.columns[0]) if (row, table.columns[0]) in table.cells else None
        if base is not None and base != (row, column):
            yield (row, column), base


def _complete(table: Table, place: Place) -> Cell | None:
    cell = table.cells.get(place)
    return cell if cell is not None and cell.mean is not None and cell.n == cell.expected else None


def _runs(cell: Cell) -> tuple[str, ...]:
    return tuple(outcome.run_id for outcome in cell.outcomes)
