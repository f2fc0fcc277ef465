"""How labels, numbers and cells are written, the same in every form of a table."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from xsam.grid.axes import ranges
from xsam.metrics import NEITHER
from xsam.parameters import Value
from xsam.report.formats import BEST, Text
from xsam.report.table import ABSENT, PROBLEMS, Cell, Key, Table
from xsam.stats import BETTER, FEWEST_PAIRS, Difference, decide_family, paired_difference

_Name = TypeVar("_Name")


def label(value: Value) -> str:
    """An axis value as a grid writes it.

    >>> label((512, 512)), label(None), label(True), label(0.1), label("resnet8")
    ('[512, 512]', 'null', 'true', '0.1', 'resnet8')
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return str(list(value))
    return str(value)


def key_label(key: Key) -> str:
    """A row's or column's values in one line, without those at the end that its method does not use.

    >>> key_label(("xsam", 3)), key_label(("sgd", ABSENT)), key_label((ABSENT,))
    ('xsam / 3', 'sgd', '–')
    """
    used = max((place for place, value in enumerate(key, start=1) if value != ABSENT), default=1)
    return " / ".join(label(value) for value in key[:used])


def column_label(table: Table, key: Key) -> str:
    """A column's values, or what it shows where the table has no column axes."""
    return key_label(key) or table.column


def side_label(table: Table, key: Key) -> str:
    """A column's values, as far as they tell it from other columns: what a figure calls it.

    Without axes that have one value in all columns; SGD, which has no ascent steps, is ``"sgd"`` beside ``"sam / 3"``.
    """
    values = [{column[place] for column in table.columns} - {ABSENT} for place in range(len(table.column_axes))]
    kept = [value for value, known in zip(key, values, strict=True) if len(known) > 1]
    while kept and kept[-1] == ABSENT:
        kept.pop()
    return key_label(tuple(kept)) or column_label(table, key)


def number(table: Table, value: float, sign: bool = False) -> str:
    """A value of the table's metric, with its decimals; no minus zero."""
    return table.metric.text(value, sign)


def cell_text(table: Table, cell: Cell) -> str:
    """Mean ± standard deviation and the number of seeds, and whatever is not as planned.

    ``"84.12 ± 0.31 (5)"``, ``"84.12 ± 0.31 (3 of 5), 1 diverged, 1 missing"``, ``"missing"`` where nothing has run.
    """
    counts = {status: len(cell.seeds(status)) for status in PROBLEMS}
    if counts["missing"] == cell.expected:
        return "missing"
    parts = [f"{count} {status}" for status, count in counts.items() if count]
    if cell.mean is not None:
        spread = "" if cell.std is None else f" ± {number(table, cell.std)}"
        parts.insert(0, f"{number(table, cell.mean)}{spread} ({of(cell.n, cell.expected)})")
    return ", ".join(parts)


def difference_text(table: Table, difference: Difference, expected: int) -> str:
    """``"+1.20 [+0.85, +1.55] (5)"``, or why there is no interval."""
    if difference.mean is None:
        return "no pairs"
    mean, count = number(table, difference.mean, sign=True), of(difference.n, expected)
    if difference.low is None or difference.high is None:
        return f"{mean}, too few seeds ({count})"
    low, high = (number(table, end, sign=True) for end in (difference.low, difference.high))
    return f"{mean} [{low}, {high}] ({count})"


def of(n: int, expected: int) -> str:
    """``"5"`` where all that was planned is there, ``"3 of 5"`` where not."""
    return str(n) if n == expected else f"{n} of {expected}"


def marks(table: Table, row: Key) -> dict[Key, str]:
    """Column → ``BEST``, of the cells that lead their row (:func:`leading`)."""
    cells = {column: table.cells[row, column] for column in table.columns if (row, column) in table.cells}
    return dict.fromkeys(leading(table, cells), BEST)


def leading(table: Table, cells: Mapping[_Name, Cell]) -> list[_Name]:
    """The cell with the best mean and those that it is not decided to be better than; none where it beats nobody.

    None too where a run of the one with the best mean is missing. Decided among complete cells with enough seeds by
    differences paired by seed, adjusted for their number (Holm).
    """
    sign = -1 if table.lower_is_better else 1
    means = {name: sign * cell.mean for name, cell in cells.items() if cell.mean is not None}
    complete = {name: cell for name, cell in cells.items() if cell.n == cell.expected and cell.n >= FEWEST_PAIRS}
    best = max(means, key=means.__getitem__, default=None)
    if best is None or best not in complete or len(complete) < 2 or table.metric.better == NEITHER:
        return []
    first = {cell.run_ids: name for name, cell in reversed(complete.items())}  # runs that labels share count once
    rivals = [name for name in complete if name in first.values() and complete[name].run_ids != complete[best].run_ids]
    differences = [paired_difference(complete[best].values, complete[name].values) for name in rivals]
    answers = decide_family(differences, lower_is_better=table.lower_is_better)
    shown = number(table, complete[best].mean or 0.0)
    tied = [
        complete[name].run_ids
        for name, answer in zip(rivals, answers, strict=True)
        if answer.verdict != BETTER or number(table, complete[name].mean or 0.0) == shown
    ]
    if len(tied) == len(rivals):
        return []
    equal = {complete[best].run_ids, *tied}
    return [best, *(name for name, cell in complete.items() if name != best and cell.run_ids in equal)]


def p_text(p: float | None) -> str:
    """A p value with three decimals; nothing where there is none.

    >>> p_text(0.03125), p_text(0.00002), p_text(None)
    ('0.031', '<0.001', '')
    """
    if p is None:
        return ""
    return "<0.001" if p < 0.0005 else f"{p:.3f}"


def seeds_text(seeds: Iterable[int]) -> str:
    """``"seed 3"``, ``"seeds 0, 3"`` or ``"seeds 0–9"``."""
    listed = list(seeds)
    return f"{'seed' if len(listed) == 1 else 'seeds'} {ranges(listed)}"


def label_texts(key: Key) -> tuple[Text, ...]:
    """A key's values, one text each."""
    return tuple(Text(label(value)) for value in key)


def place_header(table: Table) -> tuple[str, ...]:
    """The header of what :func:`place_texts` gives."""
    return (*table.row_axes, column_header(table))


def column_header(table: Table) -> str:
    """The names of the column axes in one line."""
    return " / ".join(table.column_axes) or "column"


def place_texts(table: Table, place: tuple[Key, Key]) -> tuple[Text, ...]:
    """What names a cell in a sheet of one line a cell: the row's values, and the column in one text."""
    return (*label_texts(place[0]), Text(column_label(table, place[1])))


def shared_texts(table: Table) -> Iterator[str]:
    """Sentences about runs that stand in cells of several labels: ``"The runs of sam at ascent_steps 1 are …"``."""
    labels = {cell.label for cell in table.cells.values() if cell.shared_by}
    for one in table.report.shared:
        if by := [name for name in one.by if name in labels]:
            where = ", ".join(f"{axis} {label(value)}" for axis, value in one.at.items())
            yield f"One and the same runs at {where}: {', '.join([one.of, *by])}; each counts once."


def optional_number(table: Table, value: float | None, sign: bool = False) -> str:
    """:func:`number`, or nothing where there is none."""
    return "" if value is None else number(table, value, sign)


def interval_text(table: Table, low: float | None, high: float | None, sign: bool = True) -> str:
    """``"[+0.85, +1.55]"``, or nothing where there is none; ``sign`` writes the plus."""
    if low is None or high is None:
        return ""
    return f"[{number(table, low, sign)}, {number(table, high, sign)}]"


def spread_text(table: Table, values: Mapping[int, float]) -> str:
    """Mean ± standard deviation and number of ``values`` (seed → value); nothing without any."""
    listed = list(values.values())
    if not listed:
        return ""
    spread = f" ± {number(table, statistics.stdev(listed))}" if len(listed) > 1 else ""
    return f"{number(table, statistics.fmean(listed))}{spread} ({len(listed)})"


def baseline_label(table: Table) -> str:
    """What cells are compared with: a label of ``optimizer``, or the first column."""
    return table.report.baseline or column_label(table, table.columns[0])


def baseline_side(table: Table) -> str:
    """:func:`baseline_label` as figures call it (:func:`side_label`)."""
    return table.report.baseline or side_label(table, table.columns[0])
