"""A grid's table as CSV, one line a cell, numbers with eight significant digits."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO

from xsam.metrics import RULES
from xsam.report.analysis import Analysis
from xsam.report.claims.judgement import Judgement
from xsam.report.comparisons import Comparison, Place
from xsam.report.sections import cost_baselines, ratio
from xsam.report.table import ABSENT, COSTS, PROBLEMS, Key, Table
from xsam.report.targets import ToTarget, target_rows
from xsam.report.text import column_label, key_label, label
from xsam.stats import CONFIDENCE
from xsam.text import csv_cells


def table_csv(table: Table) -> str:
    """Row axes, column axes, metric, rule, statistics, the numbers of runs, and the mean under each selection rule."""
    header = [*_axes(table), "metric", "rule", "mean", "std", "median", "n", "expected"]
    header += [*(status.replace(" ", "_") for status in PROBLEMS), "min", "max", *RULES]
    lines = []
    for row, column, cell in table.planned():
        values = cell.values.values()
        rules = (list(cell.under(rule).values()) for rule in RULES)
        lines.append(
            [
                *_places(row, column),
                *(table.metric.name, table.rule, *_numbers(cell.mean, cell.std, cell.median), cell.n, cell.expected),
                *(len(cell.seeds(status)) for status in PROBLEMS),
                *_numbers(min(values, default=None), max(values, default=None)),
                *_numbers(*(sum(found) / len(found) if found else None for found in rules)),
            ]
        )
    return _csv(header, lines)


def differences_csv(analysis: Analysis) -> str:
    """Row axes, column axes, the cell that is subtracted, the difference paired by seed, its intervals and tests.

    The declared comparisons come first, adjusted for their number: ``family_low``, ``family_high`` and ``p_holm`` are
    of their family. Others are exploratory, and stand for themselves.
    """
    table = analysis.table
    header = [*_axes(table), "reference", "kind", "metric", "rule", "difference", "low", "high", "confidence", "n"]
    header += ["expected", "failed", "reference_failed", "p", "rank_p", "sign_flip_p", "bca_low", "bca_high"]
    header += ["detectable", "family_low", "family_high", "p_holm", "margin", "seeds_needed", "verdict"]
    explored = [one for one in analysis.comparisons if not one.primary]
    return _csv(header, (_difference(table, one) for one in (*analysis.primary, *explored)))


def _difference(table: Table, one: Comparison) -> list[object]:
    found = one.difference
    row, column = one.baseline
    reference = column_label(table, column) if row == one.place[0] else key_label((*row, *column))
    answer = one.answer
    family = (answer.low, answer.high, answer.adjusted_p) if one.primary else (None, None, None)
    return [
        *_places(*one.place),
        *(reference, "declared" if one.primary else "exploratory", table.metric.name, table.rule),
        *_numbers(found.mean, found.low, found.high),
        *(CONFIDENCE, found.n, one.expected, found.failed, found.reference_failed),
        *_numbers(found.p, found.rank_p, found.sign_flip_p, found.bca_low, found.bca_high, found.detectable),
        *_numbers(*family, answer.margin),
        "" if answer.seeds is None else answer.seeds,
        one.verdict,
    ]


def cost_csv(table: Table) -> str:
    """Row axes, column axes, the number of done runs, their mean costs, and these over the base's and SAM's."""
    against = cost_baselines(table)
    header = [*_axes(table), "n", *COSTS, *(f"{name}_over_{method}" for method in against for name in COSTS)]

    def ratios(place: Place) -> Iterator[float | None]:
        for base in against.values():
            yield from (ratio(table, place, base, name) for name in COSTS)

    lines = []
    for row, column, cell in table.planned():
        numbers = _numbers(*(cell.cost(name) for name in COSTS), *ratios((row, column)))
        lines.append([*_places(row, column), cell.done, *numbers])
    return _csv(header, lines)


def published_csv(analysis: Analysis) -> str:
    """Row axes, column axes, the published value and where it was read, and what our cell says of it."""
    table = analysis.table
    header = [*_axes(table), "published", "source", "difference", "low", "high", "verdict", "reason"]
    lines = []
    for check in analysis.checks:
        numbers = _numbers(check.difference, *(check.interval or (None, None)))
        reference = (f"{check.reference.value:.8g}", check.reference.source)
        lines.append([*_places(*check.place), *reference, *numbers, check.verdict, check.reason])
    return _csv(header, lines)


def sharpness_csv(analysis: Analysis) -> str:
    """Row axes, column axes, seed, measure and value: each run's last measurements."""
    table = analysis.table
    lines = [
        [*_places(*place), seed, measure, *_numbers(value)]
        for measure, places in analysis.measures.items()
        for place, values in places.items()
        for seed, value in sorted(values.items())
    ]
    return _csv([*_axes(table), "seed", "measure", "value"], lines)


def evaluations_csv(analysis: Analysis) -> str:
    """Row axes, column axes, seed, test set, weights, metric and value of the runs that were evaluated there."""
    lines = [
        [*_places(*place), seed, *key, *_numbers(value)]
        for key, places in analysis.evaluations.items()
        for place, values in places.items()
        for seed, value in sorted(values.items())
    ]
    return _csv([*_axes(analysis.table), "seed", "test_set", "weights", "metric", "value"], lines)


def target_csv(table: Table, found: ToTarget) -> str:
    """Row axes, column axes, the mean target, seeds and how many reach it, after how many passes and seconds."""
    header = [*_axes(table), "base", "metric", "target", "n", "reached"]
    header += [f"{cost}_{what}" for cost in ("passes", "seconds") for what in ("median", "least", "most")]
    names = (found.base, found.metric.name)
    return _csv(header, ([*_places(*place), *names, *_numbers(*values)] for place, values in target_rows(found)))


def claims_csv(claims: Iterable[Judgement]) -> str:
    """One line a claim, with the mean over its cells, and one a comparison behind it (``part`` tells which)."""
    header = ["claim", "part", "verdict", "detail", "where", "difference", "low", "high", "n", "cells", "planned"]
    header += ["p_holm", "seeds_needed", "scope", "source"]
    lines: list[list[object]] = []
    for one in claims:
        found = one.effect
        effect = ("", "", "") if found is None else _numbers(found.mean, found.low, found.high)
        source = (one.about.name, "claim", one.verdict, one.detail, "")
        lines.append([*source, *effect, one.seeds[0], *one.cells, "", "", one.scope, one.about.source])
        for evidence in one.evidence:
            numbers = _numbers(evidence.difference.mean, evidence.difference.low, evidence.difference.high)
            lines.append(
                [
                    *(one.about.name, "comparison", evidence.verdict, "", evidence.where, *numbers),
                    *(evidence.difference.n, "", "", *_numbers(evidence.adjusted_p)),
                    *("" if evidence.answer.seeds is None else evidence.answer.seeds, "", ""),
                ]
            )
    return _csv(header, lines)


def _axes(table: Table) -> list[str]:
    return [*table.row_axes, *table.column_axes]


def _places(row: Key, column: Key) -> list[str]:
    return ["" if value == ABSENT else label(value) for value in (*row, *column)]


def _numbers(*values: float | None) -> list[str]:
    return ["" if value is None else f"{value:.8g}" for value in values]


def _csv(header: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(csv_cells(header))
    writer.writerows(csv_cells(line) for line in lines)
    return text.getvalue()
