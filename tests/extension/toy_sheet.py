"""A statistic of a table."""

from __future__ import annotations

from xsam.report.formats import Sheet, Text
from xsam.report.text import column_label


def spans(analysis):
    """The largest difference between two seeds."""
    table = analysis.table
    rows = tuple(
        (Text(column_label(table, column)), Text(f"{max(values) - min(values):.2f}"))
        for (_, column), cell in table.cells.items()
        if (values := list(cell.values.values()))
    )
    return Sheet("spans", "Largest difference between two seeds", ("optimizer", "span"), 1, rows)
