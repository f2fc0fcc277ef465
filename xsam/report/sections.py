"""The sections of a report: which numbers stand where, and the sentences that say what they are."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from xsam.metrics import NEITHER, RULES
from xsam.parameters import whole
from xsam.plugins.kinds import SECTIONS
from xsam.report.analysis import Analysis
from xsam.report.comparisons import Place, partner
from xsam.report.contrasts import declared, differences, published, ranks, tests
from xsam.report.evaluations import compared_sheet, evaluations_sheet
from xsam.report.formats import Sheet, Text
from xsam.report.overall import overall_sheet
from xsam.report.references import Check
from xsam.report.table import ABSENT, COSTS, PROBLEMS, Cell, Key, Table
from xsam.report.targets import target_sheet
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
    shared_texts,
    spread_text,
)
from xsam.stats import FEWEST_PAIRS, paired_difference

_CELL_NOTE = (
    "Cells: mean ± sample standard deviation over seeds (number of seeds, and of how many where some are not there). "
    f"Of a row's complete cells with at least {FEWEST_PAIRS} seeds the best mean is bold, with those that it is "
    "not decided to be better than (paired by seed, Holm); none where it is better than no other."
)


def sheets(analysis: Analysis) -> tuple[Sheet, ...]:
    """Every sheet of a table that has something to say, the means first."""
    made = (
        means,
        declared,
        overall_sheet,
        differences,
        tests,
        ranks,
        rules,
        published,
        flatness,
        further,
        bootstraps,
        cost,
        targets,
    )
    own = (sheet for make in made if (sheet := make(analysis)).rows)
    return (*own, *_of_plugins(analysis))


def _of_plugins(analysis: Analysis) -> Iterator[Sheet]:
    """The sections of the plug-ins that are loaded; raises ``ValueError``, which names one that fails."""
    for name, make in SECTIONS.items():
        whose = f"the section {name!r} of the plug-in {SECTIONS.owner(name)}"
        try:
            sheet = make(analysis)
        except Exception as error:
            raise ValueError(f"{whose}: {type(error).__name__}: {error}") from error
        if sheet is None:
            continue
        if not isinstance(sheet, Sheet):
            raise ValueError(f"{whose} must return a xsam.report.formats.Sheet or None, not {type(sheet).__name__}")
        for row in sheet.rows:
            if len(row) != len(sheet.header) or not all(isinstance(text, Text) for text in row):
                raise ValueError(f"{whose}: a row must be {len(sheet.header)} xsam.report.formats.Text, as its header")
        if sheet.rows:
            yield replace(sheet, name=name)


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
    return Sheet("means", table.title, tuple(header), len(table.row_axes), rows, (*_notes(table), *analysis.caveats))


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


def further(analysis: Analysis) -> Sheet:
    """Scores on further test sets."""
    return evaluations_sheet(analysis.table, analysis.evaluations)


def bootstraps(analysis: Analysis) -> Sheet:
    """Runs against each other on one test set, by resampling its sentences."""
    return compared_sheet(analysis.table, analysis.evaluations, analysis.compared)


def targets(analysis: Analysis) -> Sheet:
    """What it takes to be as good as the base optimizer ends."""
    return target_sheet(analysis.table, analysis.target)


def _notes(table: Table) -> Iterator[str]:
    unit = {"": "", "%": ", in percent"}.get(table.metric.unit, f", in {table.metric.unit}")
    better = "" if table.metric.better == NEITHER else f"; {table.metric.better} is better"
    yield f"Metric: {table.column}{unit}{better}."
    if table.column_axes:
        yield f"Columns: {' / '.join(table.column_axes)}."
    if any(ABSENT in key for key in (*table.rows, *table.columns)):
        yield f"{ABSENT}: an axis that the method does not use."
    yield _CELL_NOTE
    yield from shared_texts(table)
    seeds = {outcome.seed for cell in table.cells.values() for outcome in cell.outcomes}
    yield f"Planned: {seeds_text(seeds)}."
    if len(table.cells) < len(table.rows) * len(table.columns):
        yield "An empty cell is not part of the grid."
    for status in PROBLEMS:
        for row, column, cell in table.planned():
            if cell.seeds(status):
                place = ", ".join(key_label(key) for key in (row, column) if key)
                yield f"{status.capitalize()}: {place}: {seeds_text(cell.seeds(status))}."
    if table.strangers:
        yield f"Not in this grid, and not counted: {', '.join(table.strangers)}."


_MEBIBYTE = 2**20


def cost(analysis: Analysis) -> Sheet:
    """What the runs cost, beside what they reach, and as multiples of the plain base optimizer and of SAM."""
    table = analysis.table
    against = cost_baselines(table)
    is_cost = table.column in COSTS  # then it has its column anyway

    def numbers(place: Place, cell: Cell) -> Iterator[str]:
        yield of(cell.done, cell.expected)
        if not is_cost:
            yield optional_number(table, cell.mean)
        for name, unit, decimals in _COSTS:
            mean = cell.cost(name)
            yield "" if mean is None else f"{mean / unit:.{decimals}f}"
        for base in against.values():
            yield from (_times(ratio(table, place, base, name)) for name in ("backwards", "wall_seconds"))

    header = [*place_header(table), "runs", *(() if is_cost else (table.column,))]
    header += ["forwards", "backwards", "wall seconds", "peak MiB"]
    header += [f"{unit} / {name}" for name in against for unit in ("backwards", "seconds")]
    rows = tuple(
        (*place_texts(table, (row, column)), *map(Text, numbers((row, column), cell)))
        for row, column, cell in table.planned()
    )
    notes = ("Means over the done runs of a cell.", _budget_note(table))
    return Sheet("cost", "Cost", tuple(header), len(table.row_axes) + 1, rows, notes)


_COSTS = (("forwards", 1, 0), ("backwards", 1, 0), ("wall_seconds", 1, 2), ("peak_memory_bytes", _MEBIBYTE, 1))


def cost_baselines(table: Table) -> Mapping[str, str]:
    """Method → its first label, of the methods whose cost is 1: the base optimizer alone, and SAM."""
    labels: dict[str, str] = {}
    for _, _, cell in table.planned():
        labels.setdefault(cell.spec.method, cell.label)
    return {method: labels[method] for method in ("sgd", "adam", "adamw", "sam") if method in labels}


def ratio(table: Table, place: Place, base: str, name: str) -> float | None:
    """A cost of the cell over that of the label ``base`` at the same place; ``None`` where one is not known."""
    other = partner(table, place, base)
    ours, theirs = table.cells[place].cost(name), None if other is None else table.cells[other].cost(name)
    return None if ours is None or not theirs else ours / theirs


def _times(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _budget_note(table: Table) -> str:
    budgets = {cell.spec.params.get("pass_budget") for _, _, cell in table.planned()}
    if None in budgets:
        return "Not compute-matched: a column's runs may have made more passes than another's."
    listed = ", ".join(str(budget) for budget in sorted(map(whole, budgets)))
    return f"Compute-matched: each run's schedule was made for its budget of passes over the data ({listed})."
