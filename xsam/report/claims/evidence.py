"""The cells that may speak to a claim: which runs stand on its two sides, and what was measured of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, product
from typing import Protocol, cast

import pandas as pd

from xsam.grid.diagnostics import PER_DIRECTION
from xsam.grid.grid import Grid
from xsam.grid.spec import RunSpec
from xsam.optim.registry import METHODS
from xsam.parameters import Value
from xsam.registries import recorded
from xsam.report.claims.model import EIGENVALUE, METRIC, PASSES, RISE_SHARE, SECONDS, Claim, Condition
from xsam.report.comparisons import failures
from xsam.report.sharpness import shares_of_best
from xsam.report.table import Table
from xsam.report.text import label
from xsam.stats import Difference, paired_difference

FAMILY, BASES = "@family", "@base"
_RATIOS = (PASSES, SECONDS)
_LOWER = (EIGENVALUE, PASSES, SECONDS)


class Analysed(Protocol):
    """What claims need of one table of a grid (:class:`xsam.report.analysis.Analysis`)."""

    @property
    def table(self) -> Table:
        """The cells."""


class Reported(Protocol):
    """What claims need of a grid (:class:`xsam.report.analysis.GridReport`)."""

    @property
    def grid(self) -> Grid:
        """The grid."""

    @property
    def analyses(self) -> Sequence[Analysed]:
        """Its tables."""

    @property
    def measured(self) -> pd.DataFrame:
        """Rows of the table ``sharpness``, labelled (:func:`xsam.report.sharpness.labelled`)."""

    @property
    def runs(self) -> pd.DataFrame:
        """Rows of its planned runs."""

    @property
    def sharpness(self) -> pd.DataFrame:
        """Measurements of its planned runs."""


@dataclass(frozen=True)
class Side:
    """The planned runs of one cell as a claim looks at them.

    Attributes:
        axes: axis → value, without the seed.
        spec: one of its runs.
        values: seed → value.
        failed: seeds whose runs diverged, failed or collapsed.
        runs: run ids.
    """

    axes: Mapping[str, Value]
    spec: RunSpec
    values: Mapping[int, float]
    failed: frozenset[int]
    runs: tuple[str, ...]


@dataclass(frozen=True)
class Contrast:
    """Two cells that a claim compares.

    Attributes:
        grid: the grid's name.
        where: what names it: ``"resnet18 / cifar100: xsam against sam"``.
        ours, theirs: the two sides.
        difference: ours minus theirs, paired by seed, less what the claim asks for; of logarithms where it is a ratio.
        effect: the same without what is asked for.
        lower_is_better: of the measure.
    """

    grid: str
    where: str
    ours: Side
    theirs: Side
    difference: Difference
    effect: Difference
    lower_is_better: bool


@dataclass(frozen=True)
class Measured:
    """What a measure found in one grid."""

    sides: tuple[Side, ...]
    lower_is_better: bool
    table: Table | None = field(default=None)


def is_ratio(claim: Claim) -> bool:
    """Whether differences are of logarithms, so that an effect is a ratio."""
    return claim.measure in _RATIOS


def contrasts(claim: Claim, reports: Iterable[Reported], shift: float) -> tuple[Contrast, ...]:
    """Every pair of cells that the claim compares, in the grids that may speak to it, each pair of runs once.

    ``shift`` is what ours have to be better by, in the unit of the difference.
    """
    found: dict[tuple[tuple[str, ...], tuple[str, ...]], Contrast] = {}
    for report in reports:
        if report.grid.name in claim.grids:
            measured = _MEASURED[claim.measure](claim, report)
            for ours, theirs, where in _pairs(claim, measured.sides):
                one = _contrast(claim, report.grid.name, where, ours, theirs, measured.lower_is_better, shift)
                found.setdefault((_identity(ours), _identity(theirs)), one)
    return tuple(found.values())


def _identity(side: Side) -> tuple[str, ...]:
    # Runs tell cells apart, but for the directions, of which several were looked at in each run.
    axes = side.axes.items() if "direction" in side.axes else ()
    return (*side.runs, *(f"{axis}={value}" for axis, value in axes))


def _contrast(claim: Claim, grid: str, where: str, ours: Side, theirs: Side, lower: bool, shift: float) -> Contrast:
    values = [side.values for side in (ours, theirs)]
    if is_ratio(claim):
        values = [{seed: math.log(value) for seed, value in one.items() if value > 0} for one in values]
    less = shift if not lower else -shift
    shifted = {seed: value - less for seed, value in values[0].items()}
    lost = (ours.failed, theirs.failed, lower)
    return Contrast(
        grid,
        where,
        ours,
        theirs,
        paired_difference(shifted, values[1], *lost),
        paired_difference(values[0], values[1], *lost),
        lower,
    )


def _pairs(claim: Claim, sides: Sequence[Side]) -> Iterator[tuple[Side, Side, str]]:
    of, against = (_labels(condition, sides) for condition in (claim.of, claim.against))
    shown = {axis for axis in {*chain(*(side.axes for side in sides))} if len(_values(sides, axis)) > 1}
    shown |= {"model", "dataset"}
    for ours in sides:
        if not _meets(ours, of):
            continue
        for values in product(*against.values()):
            changed = dict(zip(against, values, strict=True))
            wanted = {**ours.axes, **changed}
            theirs = next((side for side in sides if _is(side, wanted, changed)), None)
            if theirs is not None and theirs.axes != ours.axes:
                yield ours, theirs, _where(ours, theirs, shown)


def _values(sides: Iterable[Side], axis: str) -> set[Value]:
    return {side.axes[axis] for side in sides if axis in side.axes}


def _labels(condition: Condition, sides: Sequence[Side]) -> Condition:
    """``condition`` with the labels that ``@family`` and ``@base`` stand for."""
    found = dict(condition)
    for axis, values in condition.items():
        listed: list[Value] = []
        for value in values:
            listed += _named(str(value), sides) if value in (FAMILY, BASES) else [value]
        found[axis] = tuple(dict.fromkeys(listed))
    return found


def _named(group: str, sides: Sequence[Side]) -> list[Value]:
    wanted = is_family if group == FAMILY else is_base
    return [side.spec.optimizer for side in sides if wanted(side.spec)]


def is_base(spec: RunSpec) -> bool:
    """Whether the run is a base optimizer alone."""
    known = METHODS.get(spec.method)
    return recorded.methods[spec.method][1] if known is None else known.alone is not None


def is_family(spec: RunSpec) -> bool:
    """Whether the run is another method of the family than SAM and XSAM themselves."""
    known = METHODS.get(spec.method)
    family = "sam_family" in recorded.methods[spec.method][0] if known is None else known.family
    return family and spec.method not in ("sam", "xsam")


def _meets(side: Side, condition: Condition) -> bool:
    return all(side.axes.get(axis) in values for axis, values in condition.items())


def _is(side: Side, wanted: Mapping[str, Value], changed: Mapping[str, Value]) -> bool:
    """Whether a side is the wanted one, as far as its method uses the axes; what is changed it must use."""
    return all(
        side.axes.get(axis) == value if axis in side.axes or axis == "optimizer" else axis not in changed
        for axis, value in wanted.items()
    ) and all(axis in wanted for axis in side.axes)


def _where(ours: Side, theirs: Side, shown: Collection[str]) -> str:
    """``"resnet18 / cifar100: xsam against sam"``, without axes that have one value."""
    shared = [label(value) for axis, value in ours.axes.items() if theirs.axes.get(axis) == value and axis in shown]
    own = [
        [label(value) for axis, value in one.axes.items() if other.axes.get(axis) != value and axis in shown]
        for one, other in ((ours, theirs), (theirs, ours))
    ]
    names = [" / ".join(one) or label(side.spec.optimizer) for one, side in zip(own, (ours, theirs), strict=True)]
    return f"{' / '.join(shared)}: {names[0]} against {names[1]}" if shared else f"{names[0]} against {names[1]}"


def _by_metric(claim: Claim, report: Reported) -> Measured:
    table = _table(claim, report)
    if table is None or table.rule == "best_test":
        return Measured((), False)
    sides = {
        _key(cell.spec): Side(
            _axes(cell.spec),
            cell.spec,
            cell.values,
            failures(table, cell),
            tuple(one.run_id for one in cell.outcomes),
        )
        for _, _, cell in table.planned()
    }
    return Measured(tuple(sides.values()), table.lower_is_better, table)


def _table(claim: Claim, report: Reported) -> Table | None:
    tables = [one.table for one in report.analyses]
    if not claim.table:
        return tables[0] if tables else None
    return next((table for table in tables if table.report.name == claim.table), None)


def _by_eigenvalue(claim: Claim, report: Reported) -> Measured:
    rows = report.sharpness[report.sharpness["measure"] == EIGENVALUE]
    last = rows["epoch"].fillna(-1) == rows.groupby("run_id")["epoch"].transform("max").fillna(-1)
    values = {str(run): float(value) for run, value in rows[last].groupby("run_id")["value"].mean().items()}
    return _of_runs(claim, report, values, with_failures=True)


def _by_passes(claim: Claim, report: Reported) -> Measured:
    done = report.runs[report.runs["status"] == "done"]
    counts = (done["forwards"] + done["backwards"]).astype(float)
    values = dict(zip(done["run_id"].map(str), counts, strict=True))
    return _of_runs(claim, report, {run: float(value) for run, value in values.items() if value > 0})


def _by_seconds(claim: Claim, report: Reported) -> Measured:
    """Seconds of training steps and searches; evaluating and decoding are the same for every method."""
    done = report.runs[report.runs["status"] == "done"]
    seconds = done["train_seconds"].fillna(done["wall_seconds"]) + done["search_seconds"].fillna(0.0)
    values = dict(zip(done["run_id"].map(str), seconds.astype(float), strict=True))
    return _of_runs(claim, report, {run: value for run, value in values.items() if value > 0})


def _of_runs(claim: Claim, report: Reported, values: Mapping[str, float], with_failures: bool = False) -> Measured:
    table = _table(claim, report)
    if table is None:
        return Measured((), True)
    sides = {}
    for _, _, cell in table.planned():
        found = {one.seed: values[one.run_id] for one in cell.outcomes if one.run_id in values}
        lost = frozenset((*cell.seeds("diverged"), *cell.seeds("failed"))) if with_failures and values else frozenset()
        runs = tuple(one.run_id for one in cell.outcomes)
        sides[_key(cell.spec)] = Side(_axes(cell.spec), cell.spec, found, lost, runs)
    return Measured(tuple(sides.values()), claim.measure in _LOWER, table)


def _by_rise(claim: Claim, report: Reported) -> Measured:
    """The share of the best direction's rise that a direction reaches, an axis ``direction`` beside the optimizer.

    ``ascent_steps`` is the number of steps that was looked at; runs of one seed began with the same weights, and are no
    more than one sample.
    """
    if not (report.sharpness["measure"] == f"{PER_DIRECTION}rise").any():
        return Measured((), False)
    rows = report.measured
    seeds = rows.drop_duplicates("run_id").set_index("run_id")["seed"]
    shares = shares_of_best(rows).reset_index()
    shares["seed"] = shares["run_id"].map(seeds)
    specs: dict[str, RunSpec] = {}
    for run in report.grid.runs:
        specs.setdefault(run.optimizer, run)
    sides = []
    for place, group in shares.groupby(["optimizer", "ascent_steps"]):
        optimizer, steps = cast(tuple[str, int], place)
        means = group.groupby("seed")[["sam", "xsam"]].mean()
        for direction in ("sam", "xsam"):
            axes: dict[str, Value] = {"optimizer": optimizer, "ascent_steps": int(steps), "direction": direction}
            values = {int(str(seed)): float(value) for seed, value in means[direction].items()}
            sides.append(Side(axes, specs[optimizer], values, frozenset(), tuple(map(str, group["run_id"]))))
    return Measured(tuple(sides), False)


def _axes(spec: RunSpec) -> dict[str, Value]:
    return {axis: value for axis, value in spec.axes.items() if axis != "seed"}


def _key(spec: RunSpec) -> tuple[tuple[str, Value], ...]:
    return tuple(sorted(_axes(spec).items(), key=lambda item: item[0]))


_MEASURED: Mapping[str, Callable[[Claim, Reported], Measured]] = {
    METRIC: _by_metric,
    EIGENVALUE: _by_eigenvalue,
    RISE_SHARE: _by_rise,
    PASSES: _by_passes,
    SECONDS: _by_seconds,
}
