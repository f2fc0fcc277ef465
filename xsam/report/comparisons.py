"""What a table says beyond its means: comparisons, declared before or exploratory, and who wins how often."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from xsam.grid.spec import RunSpec
from xsam.parameters import Value
from xsam.report.table import ABSENT, Cell, Key, Table
from xsam.stats import (
    BETTER,
    WORSE,
    Answer,
    Difference,
    collapsed,
    decide,
    decide_family,
    mean_ranks,
    paired_difference,
)

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
        answer: what it shows: better, worse, equivalent, undecided. A primary comparison is adjusted for the number of
            its table's primary comparisons, an exploratory one stands for itself.
        primary: whether the grid declared it (``compare`` of its report).
    """

    place: Place
    baseline: Place
    difference: Difference
    expected: int
    answer: Answer
    primary: bool = False

    @property
    def adjusted_p(self) -> float | None:
        """The p by which it was decided; an exploratory one's own."""
        return self.answer.adjusted_p

    @property
    def verdict(self) -> str:
        """The answer in one word or two."""
        return self.answer.verdict


@dataclass(frozen=True)
class Standing:
    """How one column does over the rows of a table.

    Attributes:
        column: the column.
        wins, ties, losses: rows in which it is better than its baseline, neither, or worse.
        rank: mean rank of its means over the rows that are complete in every ranked column; ``None`` without one.
        rows: the number of those rows.
    """

    column: Key
    wins: int
    ties: int
    losses: int
    rank: float | None
    rows: int


def primary(table: Table) -> tuple[Comparison, ...]:
    """The comparisons that the grid declared, decided together.

    Runs that stand in several rows are one comparison, and count once.

    Example:
        >>> [one.verdict for one in primary(table)]                      # doctest: +SKIP
        ['better', 'undecided']
    """
    margins = {
        ((row, column), base): declared.margin
        for declared in table.report.compare
        for row, column, cell in table.planned()
        if cell.label == declared.of
        if OPTIMIZER in (*table.row_axes, *table.column_axes)
        if (base := partner(table, (row, column), declared.against)) is not None
        if table.cells[base].run_ids != cell.run_ids
    }
    return _compared(table, margins, margins, together=True)


def comparisons(table: Table, declared: Sequence[Comparison] = ()) -> tuple[Comparison, ...]:
    """Every cell of ``table`` against its baseline: the report's ``baseline``, or else the first column.

    Those that are among ``declared`` (what :func:`primary` gives) are taken from there; the others are exploratory.

    Example:
        >>> [one.verdict for one in comparisons(table)]                  # doctest: +SKIP
        ['better', 'undecided']
    """
    known = {(one.place, one.baseline): one for one in declared}
    pairs = list(_pairs(table))
    explored = iter(_compared(table, [pair for pair in pairs if pair not in known], {}, together=False))
    return tuple(known[pair] if pair in known else next(explored) for pair in pairs)


def _compared(
    table: Table, pairs: Iterable[Pair], margins: Mapping[Pair, float | None], together: bool
) -> tuple[Comparison, ...]:
    """Each pair (place, baseline) as a comparison; the same runs in several places are one."""
    lower = table.lower_is_better
    listed = [(pair, (table.cells[pair[0]].run_ids, table.cells[pair[1]].run_ids)) for pair in pairs]
    found: dict[tuple[tuple[str, ...], tuple[str, ...]], tuple[Difference, float | None]] = {}
    for (place, base), runs in listed:
        if runs not in found:
            found[runs] = paired(table, table.cells[place], table.cells[base]), margins.get((place, base))
    differences, limits = [one for one, _ in found.values()], [margin for _, margin in found.values()]
    if together:
        answers = decide_family(differences, limits, lower)
    else:
        answers = tuple(decide(one, margin, lower) for one, margin in zip(differences, limits, strict=True))
    answered = dict(zip(found, answers, strict=True))
    return tuple(
        Comparison(place, base, found[runs][0], table.cells[place].expected, answered[runs], together)
        for (place, base), runs in listed
    )


def answer_text(answer: Answer, difference: Difference) -> str:
    """An answer with what belongs to it: the seeds that it needs, the runs that failed.

    ``"undecided (23 seeds needed)"``, ``"undecided by ranks (2 of ours, 0 of theirs failed)"``.
    """
    text = answer.verdict
    if answer.by_ranks:
        text += f" by ranks ({difference.failed} of ours, {difference.reference_failed} of theirs failed)"
    return text if answer.seeds is None else f"{text} ({answer.seeds:,} seeds needed)"


def paired(table: Table, ours: Cell, theirs: Cell) -> Difference:
    """One cell minus another one, paired by seed, with the runs of either that failed."""
    return paired_difference(
        ours.values, theirs.values, failures(table, ours), failures(table, theirs), table.lower_is_better
    )


def failures(table: Table, cell: Cell) -> frozenset[int]:
    """The seeds of a cell whose runs diverged, failed or collapsed."""
    return frozenset((*cell.seeds("diverged"), *cell.seeds("failed"), *collapsed_seeds(table, cell)))


def collapsed_seeds(table: Table, cell: Cell) -> frozenset[int]:
    """The seeds of a cell whose runs finished and collapsed (:func:`xsam.stats.collapsed`)."""
    chance = table.metric.chance
    return collapsed(cell.values, chance and chance(cell.spec.params), table.lower_is_better)


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


def is_searched_xsam(spec: RunSpec) -> bool:
    """Whether the run is the paper's method, which searches alpha, and not one with an alpha of its own choice."""
    return spec.method == "xsam" and spec.params.get("alpha") is None


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
        base = baseline_of(table, (row, column))
        if base is not None:
            yield (row, column), base


def baseline_of(table: Table, place: Place) -> Place | None:
    """What a cell is compared with: the table's ``baseline`` there, or else its first column.

    ``None`` where it is that, or has the same runs.
    """
    if table.report.baseline:
        base = partner(table, place, table.report.baseline)
    else:
        base = (place[0], table.columns[0]) if (place[0], table.columns[0]) in table.cells else None
    return None if base is None or table.cells[base].run_ids == table.cells[place].run_ids else base


def _complete(table: Table, place: Place) -> Cell | None:
    cell = table.cells.get(place)
    return cell if cell is not None and cell.mean is not None and cell.n == cell.expected else None
