"""Which figures a grid has: those of all its tables, a few of every kind unless all are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, zip_longest

from xsam.grid.grid import TABLE
from xsam.report.across_panels import across_panels
from xsam.report.analysis import GridReport
from xsam.report.paired_panels import paired_panels
from xsam.report.panel import Panel
from xsam.report.panels import panels_of
from xsam.report.sharpness import Map, measured_maps, measured_panels
from xsam.report.targets import target_panels
from xsam.report.tuning import tuning_panels
from xsam.store.tuning import SUFFIX

_MEASURED = (
    "eigenvalues", "direction-quality-training", "direction-quality", "alpha-landscape", "ascent-plane", "random-plane",
)  # fmt: skip
Chosen = tuple[list[Panel | Map], int]  # figures, and how many there are in all
MOST = 12  # figures of a grid; more are not looked at, and all can be asked for
MOST_TO_TARGET = 4  # of these, which are beside them


def selected(report: GridReport, most: int | None = MOST) -> Chosen:
    """The figures of a grid, at most ``most`` (None: all), and how many there are in all.

    Tables take turns, as do the kinds of figures within each; what was measured of sharpness has half the places. What
    it takes to the base's validation metric comes after them, in ``MOST_TO_TARGET`` figures.
    """
    search: list[Panel | Map] = []
    if report.tuning is not None:
        search += tuning_panels(report.tuning, report.grid.task)
    if search and report.folder.name.endswith(SUFFIX):  # of single trials there is nothing else to see
        return [*search[:most]], len(search)
    tables = list(_in_turns(search, *(_panels(report, number) for number in range(len(report.analyses)))))
    measured: list[Panel | Map] = []
    if not report.sharpness.empty:
        rows = report.measured
        measured = _kinds([*measured_panels(rows, report.analyses[0].table.labels), *measured_maps(rows)])
    reached = [panel for one in report.analyses for panel in target_panels(one.table, one.target)]
    whole = len(tables) + len(measured) + len(reached)
    if most is None or whole <= most:
        return [*tables, *measured, *reached], whole
    own = max(most - len(tables), min(len(measured), most // 2))
    return [*tables[: most - own], *measured[:own], *reached[:MOST_TO_TARGET]], whole


def _panels(report: GridReport, number: int) -> list[Panel | Map]:
    """The panels of one table; the names of those that have another one's are told apart by the table's name."""
    analysis = report.analyses[number]
    table = analysis.table
    prefix = "" if table.report.name == TABLE else f"{table.report.name.replace('_', '-')}-"
    panels = chain(
        across_panels(table, analysis.comparisons),
        paired_panels(table, analysis.primary),
        panels_of(table, report.epochs),
    )
    return [replace(panel, name=f"{prefix}{panel.name}") for panel in panels]


def _kinds(measured: list[Panel | Map]) -> list[Panel | Map]:
    """What was measured of sharpness, one of each kind and then the next of each, XSAM's first."""
    kinds: dict[str, list[Panel | Map]] = {}
    for one in sorted(measured, key=lambda one: not one.name.endswith("xsam")):
        kinds.setdefault(next((kind for kind in _MEASURED if one.name.startswith(kind)), ""), []).append(one)
    return list(_in_turns(*(kinds[kind] for kind in (*_MEASURED, "") if kind in kinds)))


def _in_turns(*kinds: list[Panel | Map]) -> Iterator[Panel | Map]:
    return (one for one in chain.from_iterable(zip_longest(*kinds)) if one is not None)
