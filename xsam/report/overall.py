"""One line for all cells of a declared comparison, and methods ranked over data sets."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from xsam.parameters import Value
from xsam.report.analysis import Analysis
from xsam.report.comparisons import Comparison, answer_text, failures
from xsam.report.formats import Sheet, Text
from xsam.report.table import Cell, Key, Table
from xsam.report.text import column_label, interval_text, label, optional_number, p_text
from xsam.stats import (
    FEWEST_PAIRS,
    Answer,
    Difference,
    RankComparison,
    bootstrap_mean_over_cells,
    compare_ranks,
    decide,
    interquartile_mean,
    mean_over_cells,
    probability_of_improvement,
)

_NOTES = (
    "Every cell weighs the same. 95% interval: t, with the variances of the cells (Satterthwaite); bootstrap: "
    "stratified, seeds resampled inside cells (Agarwal et al., 2021); narrow with few seeds, it decides nothing.",
    "Interquartile mean: of all paired differences. P(improvement): that a run of the one beats a run of the other in "
    "the same cell, a failed run losing; the mean over cells.",
)


@dataclass(frozen=True)
class Overall:
    """One declared comparison over all its cells.

    Attributes:
        of, against: the labels.
        cells: how many cells have two pairs or more, and how many are declared.
        difference: the mean over cells (:func:`xsam.stats.mean_over_cells`).
        answer: what it shows, as one comparison by itself.
        bootstrap: the stratified bootstrap interval.
        interquartile_mean: of all paired differences.
        probability: of improvement.
    """

    of: Value
    against: Value
    cells: tuple[int, int]
    difference: Difference
    answer: Answer
    bootstrap: tuple[float, float]
    interquartile_mean: float
    probability: float


def overall(analysis: Analysis) -> tuple[Overall, ...]:
    """Each declared comparison of a table that has several cells.

    Example:
        >>> [one.answer.verdict for one in overall(analysis)]            # doctest: +SKIP
        ['undecided']
    """
    table = analysis.table
    groups: dict[tuple[str, str], dict[tuple[str, str], Comparison]] = {}
    for one in analysis.primary:
        ours, theirs = (table.cells[place] for place in (one.place, one.baseline))
        runs = (ours.spec.run_id, theirs.spec.run_id)  # a cell that stands in several rows counts once
        groups.setdefault((ours.label, theirs.label), {})[runs] = one
    return tuple(
        made
        for (of, against), members in groups.items()
        if len(members) > 1 and (made := _overall(table, of, against, list(members.values()))) is not None
    )


def _overall(table: Table, of: str, against: str, members: list[Comparison]) -> Overall | None:
    known = [one for one in members if one.difference.n >= FEWEST_PAIRS]
    if len(known) < 2:
        return None
    runs = [run.run_id for one in known for place in (one.place, one.baseline) for run in table.cells[place].outcomes]
    differences = [one.difference for one in known]
    mean = mean_over_cells(differences, shared_runs=len(runs) > len(set(runs)))
    sides = [
        [_scores(table, table.cells[place]) for place in places] for places in zip(*map(_places, known), strict=True)
    ]
    return Overall(
        of,
        against,
        (len(known), len(members)),
        mean,
        decide(mean, known[0].answer.margin, table.lower_is_better),
        bootstrap_mean_over_cells(differences),
        interquartile_mean([one.values for one in differences]),
        probability_of_improvement(*sides),
    )


def _places(one: Comparison) -> tuple[tuple[Key, Key], tuple[Key, Key]]:
    return one.place, one.baseline


def _scores(table: Table, cell: Cell) -> list[float]:
    """The values of a cell, the higher the better, with failed runs below all others."""
    lost, sign = failures(table, cell), -1 if table.lower_is_better else 1
    return [*(sign * value for seed, value in cell.values.items() if seed not in lost), *[-math.inf] * len(lost)]


def overall_sheet(analysis: Analysis) -> Sheet:
    """Each declared comparison over all its cells, one line each."""
    table = analysis.table

    def numbers(one: Overall) -> Iterator[str]:
        yield f"{one.of} − {one.against}"
        yield str(one.cells[0]) if one.cells[0] == one.cells[1] else f"{one.cells[0]} of {one.cells[1]}"
        yield optional_number(table, one.difference.mean, sign=True)
        yield interval_text(table, one.difference.low, one.difference.high)
        yield interval_text(table, *one.bootstrap)
        yield optional_number(table, one.interquartile_mean, sign=True)
        yield f"{one.probability:.2f}"
        yield p_text(one.answer.adjusted_p)
        yield answer_text(one.answer, one.difference)

    header = ("comparison", "cells", "mean", "95% interval", "bootstrap", "interquartile mean", "P(improvement)", "p")
    rows = tuple(tuple(map(Text, numbers(one))) for one in overall(analysis))
    return Sheet("overall", "Over all cells", (*header, "verdict"), 1, rows, _NOTES)


def ranked(table: Table) -> RankComparison | None:
    """The table's columns ranked over data sets: Friedman's test, with Nemenyi's critical difference.

    A data set counts once, by the mean over its rows; columns that lack a value anywhere are left out. ``None`` below
    five data sets.
    """
    if "dataset" not in table.row_axes:
        return None
    place = table.row_axes.index("dataset")
    blocks: dict[Value, list[Key]] = {}
    for row in table.rows:
        blocks.setdefault(row[place], []).append(row)
    columns = [
        column
        for column in table.columns
        if all((row, column) in table.cells and table.cells[row, column].mean is not None for row in table.rows)
    ]
    means = [
        {
            column: statistics.fmean(mean for row in rows if (mean := table.cells[row, column].mean) is not None)
            for column in columns
        }
        for rows in blocks.values()
    ]
    return compare_ranks(means, table.lower_is_better) if means and columns else None


def ranked_notes(table: Table) -> tuple[str, ...]:
    """Friedman's test and the groups that it leaves, in sentences; none below five data sets."""
    found = ranked(table)
    if found is None:
        return ()
    groups = "; ".join(", ".join(column_label(table, column) for column in group) for group in found.cliques)
    return (
        f"Friedman's test over {found.data_sets} data sets: p = {p_text(found.p)}; mean ranks further apart than "
        f"{found.critical_difference:.2f} differ (Nemenyi, 0.05). Not told apart: {groups or label('none')}.",
    )
