"""Two results folders side by side: which cells moved, by how much, and which of their parameters differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from xsam.parameters import Value
from xsam.report.analysis import Analysis, GridReport, Report
from xsam.report.comparisons import Place, failures
from xsam.report.formats import Sheet, Text
from xsam.report.table import Table
from xsam.report.text import cell_text, column_label, interval_text, key_label, label, optional_number, p_text
from xsam.stats import BETTER, WORSE, Answer, Difference, decide_family, paired_difference

IDENTICAL, MISSING = "identical", "missing"
MOVED = (BETTER, WORSE)
_NOT_SET = "not set"


@dataclass(frozen=True)
class Change:
    """One cell of both folders.

    Attributes:
        first, second: its table in each folder.
        place: row and column.
        difference: the second folder's values minus the first's, paired by seed.
        answer: what the difference shows, adjusted for the number of cells that are not identical; ``None`` for those
            that are, and for those that have no value in a folder.
        parameters: name → value in the first and in the second folder, of the parameters that differ.
    """

    first: Table
    second: Table
    place: Place
    difference: Difference
    answer: Answer | None
    parameters: Mapping[str, tuple[Value, Value]]

    @property
    def verdict(self) -> str:
        """What became of the cell in one word or two.

        ``"identical"`` where every seed of both has the same value, ``"missing"`` without a value in one of them, or
        one of ``xsam.stats``: ``"better"`` or ``"worse"`` where the cell moved.
        """
        if self.answer is not None:
            return self.answer.verdict
        before, after = (table.cells[self.place].values for table in (self.first, self.second))
        return IDENTICAL if before and after else MISSING

    @property
    def moved(self) -> bool:
        """Whether the cell is better or worse than it was."""
        return self.verdict in MOVED

    @property
    def where(self) -> str:
        """The cell in one line."""
        row, column = self.place
        return ", ".join(part for part in (self.first.title, key_label(row), column_label(self.first, column)) if part)


def changes(first: Report, second: Report, margin: float | None = None) -> tuple[Change, ...]:
    """Every cell that both reports plan, in the order of the first; cells of other grids, tables or rules are left out.

    Cells are matched by their place and not by run ids, so that a change of the code's numbers or of parameters that
    are no axes can be seen. All cells that are not identical are one family.

    Args:
        first, second: two results folders; differences are the second minus the first.
        margin: a difference up to this does not matter, in each metric's unit.

    Example:
        >>> from pathlib import Path
        >>> from xsam.report.analysis import load_report                 # doctest: +SKIP
        >>> changes(load_report(Path("before")), load_report(Path("after")))[0].verdict   # doctest: +SKIP
        'identical'
    """
    others = {_key(grid, one): one for grid in second.grids for one in grid.analyses}
    pairs = [
        (one.table, others[_key(grid, one)].table)
        for grid in first.grids
        for one in grid.analyses
        if _key(grid, one) in others
    ]
    places = [
        (ours, theirs, (row, column))
        for ours, theirs in pairs
        for row, column, _ in ours.planned()
        if (row, column) in theirs.cells
    ]
    differences = [_difference(*one) for one in places]
    answers = _answers(places, differences, margin)
    return tuple(
        Change(*where, difference, answers.get(number), _parameters(*where))
        for number, (where, difference) in enumerate(zip(places, differences, strict=True))
    )


def _difference(ours: Table, theirs: Table, place: Place) -> Difference:
    before, after = ours.cells[place], theirs.cells[place]
    return paired_difference(
        after.values, before.values, failures(theirs, after), failures(ours, before), ours.lower_is_better
    )


def _answers(
    places: list[tuple[Table, Table, Place]], differences: list[Difference], margin: float | None
) -> dict[int, Answer]:
    """The answer to each place that has values in both folders which are not the same; together they are a family."""
    found: dict[int, Answer] = {}
    for lower in (False, True):
        tested = [
            number
            for number, (ours, theirs, place) in enumerate(places)
            if ours.lower_is_better == lower
            and ours.cells[place].values
            and theirs.cells[place].values
            and ours.cells[place].values != theirs.cells[place].values
        ]
        answers = decide_family([differences[number] for number in tested], [margin] * len(tested), lower)
        found.update(zip(tested, answers, strict=True))
    return found


def _parameters(ours: Table, theirs: Table, place: Place) -> dict[str, tuple[Value, Value]]:
    """The parameters in which the cells of both folders differ, beside the seed; ``"not set"`` where one has none."""
    before, after = ours.cells[place].spec, theirs.cells[place].spec
    params = [{**spec.params, "method": spec.method} for spec in (before, after)]
    names = [name for name in dict.fromkeys((*params[0], *params[1])) if name != "seed"]
    values = {name: (params[0].get(name, _NOT_SET), params[1].get(name, _NOT_SET)) for name in names}
    return {name: pair for name, pair in values.items() if pair[0] != pair[1]}


def parameter_lines(found: Iterable[Change]) -> tuple[str, ...]:
    """Each parameter that differs, and in how many cells: ``"epochs: 30 before, 60 after (6 cells)"``."""
    counts: dict[tuple[str, str, str], int] = {}
    for one in found:
        for name, (before, after) in one.parameters.items():
            key = (name, label(before), label(after))
            counts[key] = counts.get(key, 0) + 1
    return tuple(
        f"{name}: {before} before, {after} after ({count} {'cell' if count == 1 else 'cells'})"
        for (name, before, after), count in counts.items()
    )


def changes_sheet(found: Iterable[Change]) -> Sheet:
    """The cells as a sheet, one line each."""
    rows = tuple(
        (
            Text(one.where),
            Text(cell_text(one.first, one.first.cells[one.place])),
            Text(cell_text(one.second, one.second.cells[one.place])),
            Text(optional_number(one.first, one.difference.mean, sign=True)),
            Text(interval_text(one.first, one.difference.low, one.difference.high)),
            Text(p_text(None if one.answer is None else one.answer.adjusted_p)),
            Text("" if one.answer is None or one.answer.seeds is None else str(one.answer.seeds)),
            Text(one.verdict),
        )
        for one in found
    )
    header = ("cell", "first", "second", "difference", "95% interval", "Holm", "seeds needed", "verdict")
    return Sheet("changes", "Cells that both folders have", header, 1, rows)


def _key(grid: GridReport, one: Analysis) -> tuple[str, str, str]:
    return grid.grid.name, one.table.report.name, one.table.column
