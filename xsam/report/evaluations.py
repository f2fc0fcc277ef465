"""What finished runs score on further test sets, beside the table of their own."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

import pandas as pd

from xsam.report.comparisons import Place
from xsam.report.formats import Sheet, Text
from xsam.report.table import Table
from xsam.report.text import column_label, label_texts, of

Scored = tuple[str, str, str]  # test set, weights, metric
Evaluations = Mapping[Scored, Mapping[Place, Mapping[int, float]]]


def evaluations_of(table: Table, rows: pd.DataFrame) -> dict[Scored, dict[Place, dict[int, float]]]:
    """(test set, weights, metric) → place → seed → value, of the table's runs that were evaluated there."""
    values: dict[Scored, dict[str, float]] = {}
    for row in rows.dropna(subset=["value"]).to_dict("records"):
        key = (str(row["test_set"]), str(row["weights"]), str(row["metric"]))
        values.setdefault(key, {})[str(row["run_id"])] = float(row["value"])
    found = {}
    for key, by_run in sorted(values.items()):
        places = {
            (row, column): {one.seed: by_run[one.run_id] for one in cell.outcomes if one.run_id in by_run}
            for row, column, cell in table.planned()
            if any(one.run_id in by_run for one in cell.outcomes)
        }
        if places:
            found[key] = places
    return found


def evaluations_sheet(table: Table, found: Evaluations) -> Sheet:
    """Scores of the finished runs on further test sets: mean ± standard deviation over seeds."""

    def text(key: Scored, place: Place) -> str:
        values = found[key].get(place)
        if not values:
            return ""
        decimals = 4 if key[2] == "loss" else 2
        spread = f" ± {statistics.stdev(values.values()):.{decimals}f}" if len(values) > 1 else ""
        count = of(len(values), table.cells[place].expected)
        return f"{statistics.fmean(values.values()):.{decimals}f}{spread} ({count})"

    rows = tuple(
        (
            *label_texts(row),
            *map(Text, key),
            *(Text(text(key, (row, column))) for column in table.columns),
        )
        for key in found
        for row in table.rows
        if any((row, column) in found[key] for column in table.columns)
    )
    header = (*table.row_axes, "test set", "weights", "metric", *(column_label(table, key) for key in table.columns))
    note = (
        "Finished runs on further test sets ('xsam-bench evaluate'): mean ± sample standard deviation over seeds "
        "(number of seeds). No choice was made on them, and the comparisons above do not count them."
    )
    return Sheet("evaluations", "Further test sets", header, len(table.row_axes) + 3, rows, (note,))
