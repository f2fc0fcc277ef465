"""What finished runs score on further test sets, beside the table of their own."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from xsam.report.comparisons import Place
from xsam.report.formats import Sheet, Text
from xsam.report.table import Table
from xsam.report.text import column_label, difference_text, label_texts, of, p_text
from xsam.stats import paired_difference
from xsam.tasks import DIFFERENCE

Scored = tuple[str, str, str]  # test set, weights, metric
Evaluations = Mapping[Scored, Mapping[Place, Mapping[int, float]]]


def evaluations_of(table: Table, rows: pd.DataFrame) -> dict[Scored, dict[Place, dict[int, float]]]:
    """(test set, weights, metric) → place → seed → value, of the table's runs that were evaluated there."""
    values: dict[Scored, dict[str, float]] = {}
    for row in rows[rows["metric"] != DIFFERENCE].dropna(subset=["value"]).to_dict("records"):
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


@dataclass(frozen=True)
class Compared:
    """One run against another of its seed on a test set, by resampling the sentences.

    Attributes:
        place, other: the two runs' cells.
        test_set, weights, seed: what was compared.
        difference, p: BLEU of the first minus BLEU of the second, and the bootstrap's p value.
    """

    place: Place
    other: Place
    test_set: str
    weights: str
    seed: int
    difference: float
    p: float


def compared_of(table: Table, rows: pd.DataFrame) -> tuple[Compared, ...]:
    """The comparisons among the table's runs, in its order."""
    where = {one.run_id: ((row, column), one.seed) for row, column, cell in table.planned() for one in cell.outcomes}
    found = []
    for row in rows[rows["metric"] == DIFFERENCE].to_dict("records"):
        details = json.loads(row["details"])
        if row["run_id"] in where and details["with"] in where:
            (place, seed), (other, _) = where[row["run_id"]], where[details["with"]]
            named = (str(row["test_set"]), str(row["weights"]))
            found.append(Compared(place, other, *named, seed, float(row["value"]), float(details["p"])))
    return tuple(sorted(found, key=lambda one: (str(one.place), str(one.other), one.test_set, one.weights, one.seed)))


def compared_sheet(table: Table, found: Evaluations, compared: tuple[Compared, ...]) -> Sheet:
    """The paired bootstrap of each seed, beside the interval over seeds, on each test set."""
    groups: dict[tuple[Place, Place, str, str], list[Compared]] = {}
    for one in compared:
        groups.setdefault((one.place, one.other, one.test_set, one.weights), []).append(one)
    rows = []
    for (place, other, test_set, weights), members in groups.items():
        values = found.get((test_set, weights, "bleu"), {})
        over_seeds = paired_difference(values.get(place, {}), values.get(other, {}))
        seeds = "; ".join(f"seed {one.seed}: {one.difference:+.2f} (p {p_text(one.p)})" for one in members)
        name = f"{column_label(table, place[1])} − {column_label(table, other[1])}"
        interval = difference_text(table, over_seeds, table.cells[place].expected)
        rows.append((*label_texts(place[0]), *map(Text, (name, test_set, weights, interval, seeds))))
    header = (*table.row_axes, "difference", "test set", "weights", "BLEU over seeds", "paired bootstrap of each seed")
    note = (
        "Over seeds: mean [95% interval] (number of seeds), paired by seed: it says what another training would give. "
        "Bootstrap: sacrebleu's, the sentences resampled 1,000 times: it says what other sentences would give to these "
        "two models. Not adjusted for the number of comparisons."
    )
    return Sheet("bootstrap", "Paired bootstrap", header, len(table.row_axes) + 3, tuple(rows), (note,))
