"""A figure of a table."""

from __future__ import annotations

from xsam.report.text import column_label


def toy_panels(table):
    """The means, side by side."""
    from xsam.report.panel import POINTS, Line, Panel

    lines = tuple(
        Line(place, column_label(table, column), [float(place)], [cell.mean or 0.0], [cell.std or 0.0])
        for place, ((_, column), cell) in enumerate(table.cells.items())
    )
    yield Panel("toy-means", POINTS, "Means", "place", "mean", lines)
