"""What runs cost: a sheet, and ratios to the plain base optimizer and to SAM."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from xsam.report.analysis import Analysis
from xsam.report.comparisons import Place, partner
from xsam.report.sheet import Sheet, Text
from xsam.report.table import Cell, Table
from xsam.report.text import of, optional_number, place_header, place_texts

_MEBIBYTE = 2**20


def cost(analysis: Analysis) -> Sheet:
    """What the runs cost, beside what they reach, and as multiples of the plain base optimizer and of SAM."""
    table = analysis.table
    against = cost_baselines(table)

    def numbers(place: Place, cell: Cell) -> Iterator[str]:
        yield of(cell.done, cell.expected)
        yield optional_number(table, cell.mean)
        for name, unit, decimals in _COSTS:
            mean = cell.cost(name)
            yield "" if mean is None else f"{mean / unit:.{decimals}f}"
        for base in against.values():
            yield from (_times(ratio(table, place, base, name)) for name in ("backwards", "wall_seconds"))

    header = [*place_header(table), "runs", table.column, "forwards", "backwards", "wall seconds", "peak MiB"]
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
        labels.setdefault(cell.spec.method, cell.spec.optimizer)
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
    listed = ", ".join(str(budget) for budget in sorted(map(int, budgets)))  # type: ignore[arg-type]
    return f"Compute-matched: each run's schedule was made for its budget of passes over the data ({listed})."
