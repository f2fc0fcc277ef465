"""What a grid's declared comparisons will be able to show with its seeds, before it is run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from xsam.grid.compare import Declared
from xsam.grid.grid import Grid, ReportSpec
from xsam.report.comparisons import OPTIMIZER, paired, partner
from xsam.report.table import Cell, Table, cells
from xsam.stats import ALPHA, detectable_difference, seeds_needed

FURTHER = (5, 8, 10, 15, 20, 30, 50)  # numbers of seeds to tell of, beside the planned one
GIVEN = "--sd"


@dataclass(frozen=True)
class Power:
    """What one declared comparison can show.

    Attributes:
        table: the table's name.
        declared: the comparison.
        comparisons: how many it is, one a cell; and of how many that share the level.
        family: the number of comparisons that share the level.
        seeds: the planned number.
        std: the standard deviation of a paired difference; ``None`` where nothing tells it.
        source: where that is from: ``"--sd"``, or ``"7 stored cells"``.
        unit: of the differences.
        detectable: number of seeds → the smallest true difference that is shown with 80% power.
        equivalence: the seeds that show with 80% power that a true difference of 0 is inside the margin; ``None``
            without a margin, and where it is more than any number below 10,000.
    """

    table: str
    declared: Declared
    comparisons: int
    family: int
    seeds: int
    std: float | None
    source: str
    unit: str
    detectable: Mapping[int, float]
    equivalence: int | None

    def to_json(self) -> dict[str, Any]:
        """For ``plan --json``."""
        return {
            "table": self.table,
            **self.declared.to_json(),
            "comparisons": self.comparisons,
            "family": self.family,
            "seeds": self.seeds,
            "sd": self.std,
            "sd_from": self.source,
            "detectable": {str(seeds): value for seeds, value in self.detectable.items()},
            "equivalence_seeds": self.equivalence,
        }

    def line(self) -> str:
        """``"xsam − sam, 9 comparisons, sd 0.31 (7 stored cells): 5 seeds show 0.9 points, 8 show 0.5"``."""
        count = f"{self.comparisons} comparison{'' if self.comparisons == 1 else 's'}"
        head = f"{self.declared.of} − {self.declared.against}, {count}"
        if self.std is None:
            return f"{head}: no stored results tell what {self.seeds} seeds can show; give --sd"
        shown = [
            f"{seeds} {'seeds ' * (not place)}show {value:.2g}{self.unit * (not place)}"
            for place, (seeds, value) in enumerate(self.detectable.items())
        ]
        text = f"{head}, sd {self.std:.2g} ({self.source}): {', '.join(shown)}"
        if self.declared.margin is None:
            return text
        needed = "more than 9,999" if self.equivalence is None else f"{self.equivalence:,}"
        return f"{text}; {needed} show that equals are within {self.declared.margin:g}"


def power_of(grid: Grid, runs: pd.DataFrame | None = None, std: float | None = None) -> tuple[Power, ...]:
    """What each comparison that ``grid`` declares can show, at the level 0.05 that those of its table share.

    Each has an equal part of the level (Bonferroni), as the first of them has in Holm's procedure.

    Args:
        grid: the grid, as planned.
        runs: stored rows of its runs, from which the spread of paired differences is taken where ``std`` is not given:
            the square root of the mean variance of all cells with at least three pairs.
        std: the standard deviation of a paired difference.

    Example:
        >>> from xsam.grid import load_grid
        >>> print(power_of(load_grid(Path("configs/quickstart.yaml")), std=0.5)[0].line())   # doctest: +SKIP
        xsam − sam, 1 comparison, sd 0.5 (--sd): 5 seeds show 1.0 points, 8 show 0.69, 10 show 0.6; …
    """
    return tuple(one for report in grid.tables if report.compare for one in _of_table(grid, report, runs, std))


def _of_table(grid: Grid, report: ReportSpec, runs: pd.DataFrame | None, std: float | None) -> Iterator[Power]:
    table = cells(_no_rows() if runs is None else runs, grid, report)
    seen: set[tuple[str, str]] = set()
    pairs = {declared: list(_pairs(table, declared, seen)) for declared in report.compare}
    family = sum(map(len, pairs.values()))
    for declared, found in pairs.items():
        if not found:
            continue
        spread, source = (std, GIVEN) if std is not None else _spread(table, found)
        seeds = min(min(ours.expected, theirs.expected) for ours, theirs in found)
        shown = sorted({seeds, *[further for further in FURTHER if further > seeds][:2]})
        level = ALPHA / family
        yield Power(
            report.name,
            declared,
            len(found),
            family,
            seeds,
            spread,
            source,
            " points" if table.metric.unit == "%" else f" {table.metric.unit}".rstrip(),
            {} if spread is None else {n: detectable_difference(n, spread, level) for n in shown if n > 1},
            None if spread is None or declared.margin is None else seeds_needed(0.0, spread, declared.margin, level),
        )


def _pairs(table: Table, declared: Declared, seen: set[tuple[str, str]]) -> Iterator[tuple[Cell, Cell]]:
    """The pairs of cells that are compared; runs that were ``seen`` share the level already."""
    for row, column, cell in table.planned():
        if cell.label == declared.of and OPTIMIZER in (*table.row_axes, *table.column_axes):
            base = partner(table, (row, column), declared.against)
            if base is None or table.cells[base].run_ids == cell.run_ids:
                continue
            if (key := (cell.spec.run_id, table.cells[base].spec.run_id)) not in seen:
                seen.add(key)
                yield cell, table.cells[base]


def _spread(table: Table, pairs: Sequence[tuple[Cell, Cell]]) -> tuple[float | None, str]:
    """The spread that stored cells show; the median of their variances has few values to go by, the mean all."""
    differences = [paired(table, ours, theirs) for ours, theirs in pairs]
    known = [one.std for one in differences if one.std is not None and one.n >= 3 and not one.has_failures]
    if not known:
        return None, ""
    count = f"{len(known)} stored cell{'' if len(known) == 1 else 's'}"
    return math.sqrt(sum(std**2 for std in known) / len(known)), count


def _no_rows() -> pd.DataFrame:
    names = ("run_id", "grid", "status", "forwards", "backwards", "wall_seconds", "peak_memory_bytes")
    return pd.DataFrame({name: [] for name in names})
