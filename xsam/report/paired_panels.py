"""The declared comparisons of a table as a figure: each difference with its interval, beside no difference at all."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from xsam.report.comparisons import Comparison
from xsam.report.panel import COLOURS, POINTS, Line, Panel, places_of
from xsam.report.table import Table
from xsam.report.text import key_label

MOST = 12  # comparisons that a figure has room for
_NOTHING = COLOURS.index("#000000")


def paired_panels(table: Table, declared: Sequence[Comparison]) -> Iterator[Panel]:
    """Every ``MOST`` comparisons one panel: mean paired difference and 95% interval, one row each.

    A row looks as its first side does in other figures. The line at 0 has the declared margin around it, where all of
    them have the same. Comparisons without an interval (too few pairs) are left out.
    """
    looks = places_of(table.labels)
    shown = [one for one in declared if one.difference.low is not None and one.difference.high is not None]
    parts = [shown[start : start + MOST] for start in range(0, len(shown), MOST)]
    unit = f" ({table.metric.unit})" if table.metric.unit else ""
    for number, part in enumerate(parts, start=1):
        margins = {one.margin for one in table.report.compare}
        margin = next(iter(margins)) if len(margins) == 1 else None
        nothing = f"no difference{'' if margin is None else f' ± {margin:g}, which does not matter'}"
        lines = [Line(_NOTHING, nothing, [math.nan], [0.0], [margin or 0.0])]
        for row, one in enumerate(part, start=1):
            found = one.difference
            half = ((found.high or 0.0) - (found.low or 0.0)) / 2
            look = looks[table.cells[one.place].label]
            lines.append(Line(look, _label(table, one), [float(row)], [found.mean or 0.0], [half]))
        name = "differences" if len(parts) == 1 else f"differences-{number}"
        yield Panel(
            name, POINTS, f"{table.title}: declared comparisons", "comparison", f"{table.column}, difference{unit}",
            tuple(lines),
        )  # fmt: skip


def _label(table: Table, one: Comparison) -> str:
    ours, theirs = (table.cells[place].label for place in (one.place, one.baseline))
    where = key_label(one.place[0])
    return f"{ours} − {theirs}: {where}" if where else f"{ours} − {theirs}"
