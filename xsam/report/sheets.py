"""The tables of a report as sheets: which numbers stand where, and the sentences that say what they are."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator

from xsam.metrics import NEITHER, RULES
from xsam.report.analysis import Analysis
from xsam.report.comparisons import Place
from xsam.report.contrasts import differences, published, ranks, tests
from xsam.report.cost import cost
from xsam.report.references import Check
from xsam.report.sheet import Sheet, Text
from xsam.report.stats import FEWEST_PAIRS, paired_difference
from xsam.report.table import ABSENT, PROBLEMS, Cell, Key, Table
from xsam.report.text import (
    cell_text,
    column_label,
    difference_text,
    key_label,
    label_texts,
    marks,
    number,
    of,
    optional_number,
    place_header,
    place_texts,
    seeds_text,
    spread_text,
)

_CELL_NOTE = (
    "Cells: mean ± sample standard deviation over seeds (number of seeds, and of how many where some are not there). "
    f"Of a row's complete cells with at least {FEWEST_PAIRS} seeds the best mean is bold and the second "
    "italic (in LaTeX underlined)."
)


def sheets(analysis: Analysis) -> tuple[Sheet, ...]:
    """Every sheet of a table that has something to say, the means first."""
    made = (means, differences, tests, ranks, rules, published, flatness, cost)
    return tuple(sheet for make in made if (sheet := make(analysis)).rows)


def means(analysis: Analysis) -> Sheet:
    """The table itself, with what its report asks to show beside each column."""
    table = analysis.table
    beside = {name: _beside(name, analysis) for name in table.report.show}

    def texts(row: Key) -> Iterator[Text]:
        marked = marks(table, row)
        for column in table.columns:
            cell = table.cells.get((row, column))
            yield Text("" if cell is None else cell_text(table, cell), marked.get(column, ""))
            yield from (Text("" if cell is None else text((row, column))) for text in beside.values())

    header = list(table.row_axes)
    for column in table.columns:
        name = column_label(table, column)
        header += [name, *(f"{name}: {extra}" for extra in beside)]
    rows = tuple((*label_texts(row), *texts(row)) for row in table.rows)
    return Sheet("means", table.title, tuple(header), len(table.row_axes), rows, tuple(_notes(table)))


def _beside(name: str, analysis: Analysis) -> Callable[[Place], str]:
    table = analysis.table
    compared = {one.place: one for one in analysis.comparisons}
    if name == "median":
        return lambda place: optional_number(table, table.cells[place].median)
    if name == "published":
        found: dict[Place, list[Check]] = {}
        for check in analysis.checks:
            found.setdefault(check.place, []).append(check)
        return lambda place: "; ".join(_published(table, check) for check in found.get(place, ()))
    if name == "verdict":
        return lambda place: compared[place].verdict if place in compared else ""
    return lambda place: (
        difference_text(table, compared[place].difference, compared[place].expected) if place in compared else ""
    )


def _published(table: Table, check: Check) -> str:
    found = f"{check.reference.value:.2f} {check.verdict}"
    return found if check.difference is None else f"{found} ({number(table, check.difference, sign=True)})"


def rules(analysis: Analysis) -> Sheet:
    """The metric under every selection rule, and how much choosing on the test set adds."""
    table = analysis.table
    present = [rule for rule in RULES if any(cell.under(rule) for _, _, cell in table.planned())]

    def numbers(cell: Cell) -> Iterator[str]:
        for rule in present:
            yield spread_text(table, cell.under(rule))
        for rule in present[:-1]:
            yield optional_number(table, paired_difference(cell.under("best_test"), cell.under(rule)).mean, sign=True)

    inflated = "best_test" in present and len(present) > 1
    header = (*place_header(table), *present, *(f"best_test − {rule}" for rule in present[:-1]))
    rows = tuple(
        (*place_texts(table, (row, column)), *map(Text, numbers(cell))) for row, column, cell in table.planned()
    )
    note = (
        "The same runs under each rule. best_test − rule: what choosing the epoch on the test set adds, the mean over "
        "seeds; it is never an honest estimate."
    )
    return Sheet("rules", "Selection rules", header, len(table.row_axes) + 1, rows if inflated else (), (note,))


def flatness(analysis: Analysis) -> Sheet:
    """Measures of sharpness at the end of training."""
    table, measures = analysis.table, analysis.measures

    def text(measure: str, place: Place) -> str:
        values = measures[measure].get(place, {})
        if not values:
            return ""
        spread = f" ± {statistics.stdev(values.values()):.4g}" if len(values) > 1 else ""
        return f"{statistics.fmean(values.values()):.4g}{spread} ({of(len(values), table.cells[place].expected)})"

    rows = tuple(
        (*place_texts(table, place), *(Text(text(measure, place)) for measure in measures))
        for place in ((row, column) for row, column, _ in table.planned())
        if any(place in found for found in measures.values())
    )
    note = "Mean ± sample standard deviation over seeds (number of seeds), of the last measurement of each run."
    return Sheet("flatness", "Sharpness", (*place_header(table), *measures), len(table.row_axes) + 1, rows, (note,))


def _notes(table: Table) -> Iterator[str]:
    unit = {"": "", "%": ", in percent"}.get(table.metric.unit, f", in {table.metric.unit}")
    better = "" if table.metric.better == NEITHER else f"; {table.metric.better} is better"
    yield f"Metric: {table.column}{unit}{better}."
    if table.column_axes:
        yield f"Columns: {' / '.join(table.column_axes)}."
    if any(ABSENT in key for key in (*table.rows, *table.columns)):
        yield f"{ABSENT}: an axis that the method does not use."
    yield _CELL_NOTE
    seeds = {outcome.seed for cell in table.cells.values() for outcome in cell.outcomes}
    yield f"Planned: {seeds_text(sorted(seeds))}."
    if len(table.cells) < len(table.rows) * len(table.columns):
        yield "An empty cell is not part of the grid."
    for status in PROBLEMS:
        for row, column, cell in table.planned():
            if cell.seeds(status):
                place = ", ".join(key_label(key) for key in (row, column) if key)
                yield f"{status.capitalize()}: {place}: {seeds_text(cell.seeds(status))}."
    if table.strangers:
        yield f"Not in this grid, and not counted: {', '.join(table.strangers)}."
