"""The table of a grid: which run stands in which cell, and what a cell says of its seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from xsam.grid.grid import TABLE, Grid, ReportSpec
from xsam.grid.spec import RunSpec
from xsam.metrics import Metric, find, shown
from xsam.parameters import Value
from xsam.tasks import get_task

ABSENT = "–"  # the place of a run on an axis that its method does not use
COSTS = ("forwards", "backwards", "wall_seconds", "peak_memory_bytes")
PROBLEMS = ("diverged", "failed", "missing", "no value")

Key = tuple[Value, ...]


@dataclass(frozen=True)
class Outcome:
    """What became of one planned run.

    Attributes:
        spec: the run.
        status: ``"done"`` or one of ``PROBLEMS``; ``"missing"`` has no row, and ``"no value"`` is done without this
            metric (a rule that needs a validation split, where there is none).
        value: the metric of a done run.
        costs: each of ``COSTS`` that a done run's row holds.
        by_rule: selection rule → the metric of a done run under it, for each rule that its row has.
    """

    spec: RunSpec
    status: str
    value: float | None
    costs: Mapping[str, float]
    by_rule: Mapping[str, float]

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.spec.run_id

    @property
    def seed(self) -> int:
        """The run's seed."""
        return self.spec.seed


@dataclass(frozen=True)
class Cell:
    """The planned runs of one cell, one a seed.

    Attributes:
        outcomes: what became of them.
        shared_by: the label that the cell belongs to, where it has the runs of another one (``shared`` of the report).
    """

    outcomes: tuple[Outcome, ...]
    shared_by: str = ""

    def __post_init__(self) -> None:
        if len({outcome.seed for outcome in self.outcomes}) < self.expected:
            runs = ", ".join(outcome.run_id for outcome in self.outcomes)
            raise ValueError(f"runs with the same seed in one cell ({runs}): name every axis in the report; plan again")

    @property
    def spec(self) -> RunSpec:
        """The first run; the others differ from it in their seed alone."""
        return self.outcomes[0].spec

    @property
    def label(self) -> str:
        """The label of ``optimizer`` that the cell belongs to."""
        return self.shared_by or self.spec.optimizer

    @property
    def run_ids(self) -> tuple[str, ...]:
        """Which runs these are; cells may share them."""
        return tuple(outcome.run_id for outcome in self.outcomes)

    @cached_property
    def values(self) -> dict[int, float]:
        """Seed → value, of the done runs that have one."""
        return {outcome.seed: outcome.value for outcome in self.outcomes if outcome.value is not None}

    @property
    def n(self) -> int:
        """How many runs have a value."""
        return len(self.values)

    @property
    def expected(self) -> int:
        """How many runs (seeds) are planned."""
        return len(self.outcomes)

    @cached_property
    def mean(self) -> float | None:
        """Mean over seeds; ``None`` without values."""
        return statistics.fmean(self.values.values()) if self.values else None

    @cached_property
    def std(self) -> float | None:
        """Sample standard deviation over seeds (n - 1 in the denominator); ``None`` below two values."""
        return statistics.stdev(self.values.values()) if self.n > 1 else None

    @cached_property
    def median(self) -> float | None:
        """Median over seeds; ``None`` without values."""
        return statistics.median(self.values.values()) if self.values else None

    @property
    def done(self) -> int:
        """How many runs are done, with or without a value."""
        return sum(outcome.status in ("done", "no value") for outcome in self.outcomes)

    def seeds(self, status: str) -> list[int]:
        """The seeds of the runs with ``status``, sorted."""
        return sorted(outcome.seed for outcome in self.outcomes if outcome.status == status)

    def under(self, rule: str) -> dict[int, float]:
        """Seed → the metric under another selection rule, of the done runs that have it."""
        return {outcome.seed: outcome.by_rule[rule] for outcome in self.outcomes if rule in outcome.by_rule}

    def cost(self, name: str) -> float | None:
        """Mean of one of ``COSTS`` over the done runs; ``None`` where no row holds it."""
        found = [outcome.costs[name] for outcome in self.outcomes if name in outcome.costs]
        return statistics.fmean(found) if found else None


@dataclass(frozen=True)
class Table:
    """A grid's runs arranged as one of its tables asks.

    Attributes:
        grid: the grid's name.
        report: what the grid asks for.
        metric: the metric that it asks for.
        rule: the selection rule; empty for a metric that is not chosen by one.
        column: the column of the table ``runs`` that holds the metric under the rule (``"test_accuracy_final"``).
        rows, columns: their keys in table order: the values of these axes, ``ABSENT`` on an axis that is not used.
        cells: (row, column) → cell, for every planned one.
        labels: the grid's labels of ``optimizer``, whether the table shows them or not.
        strangers: run ids that have rows in the folder and are not in the grid.
    """

    grid: str
    report: ReportSpec
    metric: Metric
    rule: str
    column: str
    rows: tuple[Key, ...]
    columns: tuple[Key, ...]
    cells: Mapping[tuple[Key, Key], Cell]
    labels: tuple[str, ...]
    strangers: tuple[str, ...]

    @property
    def title(self) -> str:
        """The grid's name, and the table's where it has one of its own."""
        return self.grid if self.report.name == TABLE else f"{self.grid}: {self.report.name}"

    @property
    def row_axes(self) -> tuple[str, ...]:
        """Names of the axes that are rows."""
        return self.report.rows

    @property
    def column_axes(self) -> tuple[str, ...]:
        """Names of the axes that are columns."""
        return self.report.columns

    @property
    def lower_is_better(self) -> bool:
        """Whether a smaller value of the metric is the better one."""
        return self.metric.lower_is_better

    def planned(self) -> Iterator[tuple[Key, Key, Cell]]:
        """Every planned cell with its row and column, in table order."""
        for row in self.rows:
            for column in self.columns:
                if (row, column) in self.cells:
                    yield row, column, self.cells[row, column]


def cells(frame: pd.DataFrame, grid: Grid, report: ReportSpec | None = None) -> Table:
    """Arrange the rows of ``grid`` in ``frame`` (as ``xsam.store.read`` gives it; other grids' rows are ignored).

    Only the run ids of the grid are counted; a planned run without a row is missing. A run that does not use a row axis
    stands in every row, one that does not use a column axis in a column of its own; one that labels share has a cell
    under each.

    Args:
        frame: rows of the table ``runs``.
        grid: the grid.
        report: one of ``grid.tables``; the first where it is not given.

    Raises:
        ValueError: the task has no such metric, or the report leaves out an axis over which cells would then average.

    Example:
        >>> from xsam.store import GridFolder, read                      # doctest: +SKIP
        >>> folder = GridFolder(Path("results"), "quickstart")           # doctest: +SKIP
        >>> table = cells(read(folder.results), Grid.load(folder.grid_json))   # doctest: +SKIP
    """
    report = report or grid.report
    metric = find(shown(get_task(grid.task).run_metrics), report.metric)
    column = metric.column(report.rule)
    stored = _stored(frame, grid.name, column, metric)
    placed = _placed(grid, report)
    outcomes = {run.run_id: _outcome(run, stored, column, metric) for _, runs in placed.values() for run in runs}
    return Table(
        grid=grid.name,
        report=report,
        metric=metric,
        rule=report.rule if metric.rules else "",
        column=column,
        rows=_ordered((row for row, _ in placed), report.rows, grid),
        columns=_ordered((key for _, key in placed), report.columns, grid),
        cells={
            place: Cell(tuple(outcomes[run.run_id] for run in runs), shared_by)
            for place, (shared_by, runs) in placed.items()
        },
        labels=tuple(map(str, grid.axes.get("optimizer", ())))
        or tuple(dict.fromkeys(run.optimizer for run in grid.runs)),
        strangers=tuple(sorted(stored.keys() - {run.run_id for run in grid.runs})),
    )


def _stored(frame: pd.DataFrame, name: str, column: str, metric: Metric) -> dict[str, dict[str, Any]]:
    values = [one for one in dict.fromkeys((column, *metric.columns)) if one in frame.columns]
    own = frame.loc[frame["grid"] == name, ["run_id", "status", *dict.fromkeys((*values, *COSTS))]]
    return {str(row["run_id"]): {str(key): value for key, value in row.items()} for row in own.to_dict("records")}


def _outcome(run: RunSpec, stored: Mapping[str, Mapping[str, Any]], column: str, metric: Metric) -> Outcome:
    row = stored.get(run.run_id)
    if row is None or row["status"] != "done":
        return Outcome(run, "missing" if row is None else str(row["status"]), None, {}, {})
    costs = {name: float(row[name]) for name in COSTS if not pd.isna(row[name])}
    rules = {rule: _number(row, metric.column(rule)) for rule in metric.rules}
    by_rule = {rule: value for rule, value in rules.items() if value is not None}
    value = _number(row, column)
    return Outcome(run, "no value" if value is None else "done", value, costs, by_rule)


def _number(row: Mapping[str, Any], column: str) -> float | None:
    value = row.get(column)
    return None if value is None or pd.isna(value) or not math.isfinite(value) else float(value)


def _placed(grid: Grid, report: ReportSpec) -> dict[tuple[Key, Key], tuple[str, list[RunSpec]]]:
    """(row, column) → the runs that stand there, and the label that shares them where they are another one's."""
    wanted = {axis: {ABSENT, *values} for axis, values in report.where.items()}
    standing = [
        (_key(axes, report.rows), _key(axes, report.columns), shared_by, run)
        for axes, shared_by, run in _standing(grid, report)
        if all(axes.get(axis, ABSENT) in wanted[axis] for axis in wanted)
    ]
    keys = {row for row, _, _, _ in standing}
    full = {key for key in keys if ABSENT not in key}
    rows = {key: _rows(key, full) for key in keys}
    placed: dict[tuple[Key, Key], tuple[str, list[RunSpec]]] = {}
    for own, column, shared_by, run in standing:
        for row in rows[own]:
            placed.setdefault((row, column), (shared_by, []))[1].append(run)
    return placed


def _standing(grid: Grid, report: ReportSpec) -> Iterator[tuple[Mapping[str, Value], str, RunSpec]]:
    """Every run with its axes, and again with those of each label that shares it."""
    for run in grid.runs:
        yield run.axes, "", run
        for shared in report.shared:
            if shared.has(run):
                yield from (({**run.axes, "optimizer": label}, label, run) for label in shared.by)


def _rows(key: Key, full: Collection[Key]) -> list[Key]:
    """The rows where a run with ``key`` stands.

    Where the whole table does without an axis there are no rows to repeat the run in, and it has one of its own.
    """
    return ([row for row in full if fits(key, row)] if ABSENT in key else []) or [key]


def _key(values: Mapping[str, Value], axes: Iterable[str]) -> Key:
    return tuple(values.get(axis, ABSENT) for axis in axes)


def fits(key: Key, place: Key) -> bool:
    """Whether ``key`` is ``place`` but for axes that it does not use."""
    return all(own in (ABSENT, value) for own, value in zip(key, place, strict=True))


def _ordered(keys: Iterable[Key], axes: Iterable[str], grid: Grid) -> tuple[Key, ...]:
    positions = [{ABSENT: -1, **{value: place for place, value in enumerate(grid.axes[axis])}} for axis in axes]

    def place(key: Key) -> list[int]:
        return [places[value] for places, value in zip(positions, key, strict=True)]

    return tuple(sorted(set(keys), key=place))
