"""Sheets of comparisons: differences to the baseline, their tests, who wins how often, and published values."""

from __future__ import annotations

from collections.abc import Iterator

from xsam.report.analysis import Analysis
from xsam.report.comparisons import Comparison, Place, answer_text
from xsam.report.formats import Sheet, Text
from xsam.report.overall import ranked_notes
from xsam.report.references import NOT_COMPARABLE
from xsam.report.table import Table
from xsam.report.text import (
    baseline_label,
    cell_text,
    column_header,
    column_label,
    difference_text,
    interval_text,
    key_label,
    label_texts,
    of,
    optional_number,
    p_text,
    place_header,
    place_texts,
)
from xsam.stats import FEWEST_BOOTSTRAP, FEWEST_SIGN_FLIPS

_DIFFERENCE_NOTE = (
    "Exploratory: mean difference, paired by seed, with its 95% t interval (number of pairs), and what it shows by "
    "itself at the level 0.05. Only declared comparisons are adjusted for their number."
)
_PRIMARY_NOTES = (
    "Declared in the grid. 95% interval: of this comparison alone. Family: the intervals of all declared comparisons "
    "at once, off which the verdicts are read (Holm over directions, with its compatible bounds; a decided comparison "
    "ends at 0 there).",
    "Equivalent: the family interval lies inside the margin. Undecided: how many seeds would decide it in 80% of "
    "experiments, were the truth what was seen.",
)
_FAILURE_NOTE = (
    "By ranks: runs diverged, failed or collapsed (below 1.5 times the chance level, or below half of their cell's "
    "median); they are the worst in an exact signed-rank test, and the mean of the others decides nothing."
)
_TEST_NOTES = (
    "p: paired t test; ranks: signed-rank test with failed runs as the worst, where there are any; sign flips: exact p "
    f"under all changes of sign, from {FEWEST_SIGN_FLIPS} pairs; BCa: bootstrap interval, from {FEWEST_BOOTSTRAP} "
    "pairs. None of them is adjusted for the number of exploratory comparisons.",
    "Detectable: the smallest true difference that this number of pairs, with the spread seen, shows in 80% of such "
    "experiments at the level 0.05.",
)


def declared(analysis: Analysis) -> Sheet:
    """The comparisons that the grid declared, one line each."""
    table = analysis.table

    def numbers(one: Comparison) -> Iterator[str]:
        found, answer = one.difference, one.answer
        yield optional_number(table, found.mean, sign=True)
        yield interval_text(table, found.low, found.high)
        yield interval_text(table, answer.low, answer.high)
        yield optional_number(table, answer.margin)
        yield p_text(answer.adjusted_p)
        yield of(found.n, one.expected)
        yield verdict_text(one)

    header = (*place_header(table), "baseline", "difference", "95% interval", "family", "margin", "Holm", "pairs")
    rows = tuple(
        (*place_texts(table, one.place), Text(_baseline(table, one)), *map(Text, numbers(one)))
        for one in analysis.primary
    )
    notes = (*_PRIMARY_NOTES, *([_FAILURE_NOTE] if any(one.answer.by_ranks for one in analysis.primary) else []))
    return Sheet("declared", "Declared comparisons", (*header, "verdict"), len(table.row_axes) + 2, rows, notes)


def verdict_text(one: Comparison) -> str:
    """A comparison's verdict with what belongs to it (:func:`xsam.report.comparisons.answer_text`)."""
    return answer_text(one.answer, one.difference)


def differences(analysis: Analysis) -> Sheet:
    """Each cell minus its baseline, in the layout of the table."""
    table = analysis.table
    compared = {one.place: one for one in analysis.comparisons}
    columns = [column for column in table.columns if any(column == place[1] for place in compared)]

    def text(place: Place) -> str:
        if place not in compared:
            return ""
        one = compared[place]
        found = difference_text(table, one.difference, one.expected)
        return f"{found}, {verdict_text(one)}" if one.difference.low is not None else found

    header = (*table.row_axes, *(column_label(table, column) for column in columns))
    rows = [(*label_texts(row), *(Text(text((row, column))) for column in columns)) for row in table.rows]
    return Sheet(
        "differences",
        f"Difference to {baseline_label(table)} (exploratory)",
        header,
        len(table.row_axes),
        tuple(rows if columns else ()),
        (_DIFFERENCE_NOTE,),
    )


def tests(analysis: Analysis) -> Sheet:
    """One line a comparison, with every interval, test and the difference that could have been seen."""
    table = analysis.table

    def numbers(one: Comparison) -> Iterator[str]:
        found = one.difference
        yield optional_number(table, found.mean, sign=True)
        yield interval_text(table, found.low, found.high)
        yield from map(p_text, (found.p, found.rank_p, found.sign_flip_p))
        yield interval_text(table, found.bca_low, found.bca_high)
        yield optional_number(table, found.detectable)
        yield of(found.n, one.expected)
        yield verdict_text(one)

    header = (*place_header(table), "baseline", "difference", "95% interval", "p", "ranks", "sign flips", "BCa")
    rows = tuple(
        (*place_texts(table, one.place), Text(_baseline(table, one)), *map(Text, numbers(one)))
        for one in analysis.comparisons
    )
    return Sheet(
        "tests",
        "Tests (exploratory)",
        (*header, "detectable", "pairs", "verdict"),
        len(table.row_axes) + 2,
        rows,
        _TEST_NOTES,
    )


def ranks(analysis: Analysis) -> Sheet:
    """Wins, ties and losses against the baseline, and mean ranks; for tables of several rows."""
    table = analysis.table
    rows = tuple(
        (
            Text(column_label(table, one.column)),
            Text(f"{one.wins}/{one.ties}/{one.losses}"),
            Text("" if one.rank is None else f"{one.rank:.2f}"),
        )
        for one in analysis.standings
    )
    ranked = max((one.rows for one in analysis.standings), default=0)
    notes = (
        f"Win/tie/loss: rows in which the column is better than {baseline_label(table)}, neither (undecided, "
        "equivalent, or without enough seeds), or worse.",
        f"Mean rank: 1 is the best mean of a row; rows in which every ranked column is complete: {ranked}.",
        *ranked_notes(table),
    )
    several = len(table.rows) > 1 and len(table.columns) > 1
    return Sheet(
        "ranks", "Over all rows", (column_header(table), "win/tie/loss", "mean rank"), 1, rows * several, notes
    )


def published(analysis: Analysis) -> Sheet:
    """Our cells beside published values."""
    table = analysis.table
    rows = tuple(
        (
            *place_texts(table, check.place),
            Text(f"{check.reference.method}, {check.reference.model}"),
            Text(f"{check.reference.value:.2f} ± {check.reference.margin:g}"),
            Text(cell_text(table, table.cells[check.place])),
            Text("" if check.interval is None else interval_text(table, *check.interval, sign=False)),
            Text(optional_number(table, check.difference, sign=True)),
            Text(f"{check.verdict}: {check.reason}" if check.verdict == NOT_COMPARABLE else check.verdict),
            Text(check.reference.source),
        )
        for check in analysis.checks
    )
    header = ("published as", "published", "ours", "95% interval", "difference", "verdict", "source")
    note = (
        "Reproduced: the protocol is the same, and our 95% interval lies within the stated margin of the published "
        "value; differs: all of it lies outside; undecided: neither."
    )
    return Sheet(
        "published", "Published values", (*place_header(table), *header), len(table.row_axes) + 2, rows, (note,)
    )


def _baseline(table: Table, one: Comparison) -> str:
    row, column = one.baseline
    own = [column_label(table, column)]
    return ", ".join([key_label(row), *own] if row != one.place[0] else own)
