"""Which cells of a grid are tuned, which values each of them tries, and the runs that try them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from xsam.grid.axes import Axis
from xsam.grid.condition import meets
from xsam.grid.expand import Plan, check_runs, expand
from xsam.grid.grid import Grid, ReportSpec
from xsam.grid.grid_document import GridDocument
from xsam.grid.resolve import MatrixCell
from xsam.grid.spec import RunSpec
from xsam.grid.tuning import Range, Tuning
from xsam.grid.vocabulary import PARTNER, Written, without
from xsam.metrics import known
from xsam.parameters import Value, real
from xsam.store.tuning import SUFFIX
from xsam.tune.points import shares_of

PROBES = ("probe_ratio", "probe_radius", "alpha_max", "alpha_step")  # of the search alone

EDGE = 0.1  # of a range: a winner this near to an end might do better beyond it

Point = tuple[float, ...]
Trials = dict[Point, dict[int, RunSpec]]  # point → seed → run


@dataclass(frozen=True)
class Group:
    """The runs of a grid that differ in their seed alone; they share what is tuned.

    Attributes:
        axes: where they stand in the matrix, without the seed.
        start: tuned parameter → the values to try at first; none where the group has nothing to tune.
        values: the same with what extensions have added.
        ranges: tuned parameter → where its values were drawn from, in a search with a number of trials.
        drawn: the points of such a search, in their order; of another one every combination of the values is tried.
    """

    axes: Mapping[str, Value]
    start: Mapping[str, Point]
    values: Mapping[str, Point]
    ranges: Mapping[str, Range] = field(default_factory=dict)
    drawn: tuple[Point, ...] = ()

    @property
    def name(self) -> str:
        """The group as people call it: ``mlp digits sam ascent_steps=1``."""
        return " ".join(value if isinstance(value, str) else f"{name}={value}" for name, value in self.axes.items())

    def edges(self, point: Point) -> list[str]:
        """Parameters of which ``point`` has the smallest or the largest value; of ranges, one in their outer tenths."""
        if self.drawn:
            shares = {name: item.share(value) for (name, item), value in zip(self.ranges.items(), point, strict=True)}
            return [name for name, share in shares.items() if not EDGE <= share <= 1 - EDGE]
        return [
            name
            for (name, values), own in zip(self.values.items(), point, strict=True)
            if len(values) > 1 and own in (values[0], values[-1])
        ]

    def beyond(self, name: str, point: Point) -> float:
        """The value of ``name`` that continues its geometric sequence beyond the edge that ``point`` sits on."""
        values = self.values[name]
        at_bottom = point[list(self.values).index(name)] == values[0]
        edge, inner = (values[0], values[1]) if at_bottom else (values[-1], values[-2])
        return float(f"{edge * edge / inner:.6g}")  # 0.8, not 0.8000000000000002

    def added(self, name: str) -> int:
        """How many values of ``name`` extensions have added."""
        return len(self.values[name]) - len(self.start[name])

    def extended(self, extensions: Mapping[str, float]) -> Group:
        """The same group with these values too."""
        added = {name: tuple(sorted((*self.values[name], value))) for name, value in extensions.items()}
        return replace(self, values={**self.values, **added})

    def distance(self, point: Point) -> float:
        """From the middle of the first values, in logarithms: of equally good points the nearest one is taken."""
        if self.drawn:
            return math.hypot(
                *(item.share(value) - 0.5 for item, value in zip(self.ranges.values(), point, strict=True))
            )
        middles = [(math.log(values[0]) + math.log(values[-1])) / 2 for values in self.start.values()]
        return math.hypot(*(math.log(value) - middle for value, middle in zip(point, middles, strict=True)))


def groups_of(document: GridDocument, tuning: Tuning, cells: Iterable[MatrixCell]) -> list[Group]:
    """The groups that ``cells`` of the grid form, in its order, each with the parameters that make a difference to it.

    A group is not tuned in what its label says itself, in what its method does not use, nor, where alpha is fixed, in
    what concerns the search for it.
    """
    found: dict[tuple[tuple[str, Value], ...], Group] = {}
    followers = [one.label for one in tuning.follow]
    shares = {} if tuning.trials is None else shares_of(tuning)
    for cell in cells:
        axes = {name: value for name, value in cell.spec.axes.items() if name != "seed"}
        if tuple(axes.items()) in found or cell.spec.optimizer in followers:
            continue
        if tuning.trials is None:
            start = {name: _numbers(axis) for name, axis in tuning.space.items() if _tunable(name, cell)}
            found[tuple(axes.items())] = Group(axes, start, start)
        else:
            found[tuple(axes.items())] = _drawn(tuning, cell, axes, shares)
    return [group for group in found.values() if group.start]


def _drawn(tuning: Tuning, cell: MatrixCell, axes: Mapping[str, Value], shares: Mapping[str, Sequence[float]]) -> Group:
    ranges = dict(tuning.ranges)
    for override in tuning.overrides:
        if meets(override.when, cell.before):
            ranges |= override.ranges
    searches = cell.spec.config.optimizer.searches and "alpha" not in ranges
    own = {name: ranges[name] for name in tuning.names if name in ranges and _tunable(name, cell, searches)}
    columns = [[item.at(share) for share in shares[name]] for name, item in own.items()]
    points = tuple(zip(*columns, strict=True))
    if len(set(points)) < len(points):
        raise tuning.place.error(
            f"{len(points)} trials of {', '.join(own)} have points in common: give fewer trials or wider ranges"
        )
    values = {name: tuple(sorted(set(column))) for name, column in zip(own, columns, strict=True)}
    return Group(axes, values, values, own, points)


def _tunable(name: str, cell: MatrixCell, searches: bool | None = None) -> bool:
    own = cell.entry.own
    if name not in cell.used or name in own or PARTNER.get(name) in own:
        return False
    return name not in PROBES or (cell.spec.config.optimizer.searches if searches is None else searches)


def _numbers(axis: Axis) -> Point:
    return tuple(real(each.value) for each in axis.values)


def trials_of(document: GridDocument, tuning: Tuning, group: Group) -> Trials:
    """The runs of every point of the group on the tuning seeds: its drawn ones, or all combinations of its values.

    Raises ``GridError`` where a run's values do not go together.
    """
    found: Trials = {}
    for values in _columns(group):
        for cell in _plan(document, tuning, group, values).kept:
            point = tuple(real(cell.spec.axes[name]) for name in group.values)
            found.setdefault(point, {})[cell.spec.seed] = cell.spec
    return found


def _columns(group: Group) -> list[Mapping[str, Point]]:
    """The values to combine: all of them at once, or those of each drawn point by itself."""
    if not group.drawn:
        return [group.values]
    return [{name: (value,) for name, value in zip(group.values, point, strict=True)} for point in group.drawn]


def grid_of(document: GridDocument, tuning: Tuning, groups: Sequence[Group], trials: Sequence[Trials]) -> Grid:
    """The grid ``NAME@tune`` of all groups' ``trials``; its axes are those of ``document`` and the tuned parameters."""
    specs = [spec for own in trials for by_seed in own.values() for spec in by_seed.values()]
    runs = tuple({spec.run_id: spec for spec in specs}.values())
    rows = [name for name in document.axes if name != "seed"]
    axes = {name: _present(name, document.axes[name], runs) for name in rows}
    for name in tuning.names:
        axes[name] = tuple(sorted({value for group in groups for value in group.values.get(name, ())}))
    axes = {name: values for name, values in {**axes, "seed": tuning.seeds}.items() if values}
    best = f"{tuning.metric.name}_best"
    tuned = tuple(name for name in tuning.names if name in axes)
    kept = tuple(name for name in rows if name in axes)
    report = ReportSpec(
        rows=kept if tuning.trials is None else (*kept, *tuned),  # points that were drawn share no column
        columns=tuned if tuning.trials is None else (),
        metric=best if best in known(document.task.run_metrics) else document.task.metric.name,
        rule="best_val",
    )
    return Grid(f"{document.name}{SUFFIX}", document.task.name, axes, report, runs)


def _plan(document: GridDocument, tuning: Tuning, group: Group, values: Mapping[str, Point]) -> Plan:
    """The cells of one group on the tuning seeds: its place in the matrix, and the tuned parameters as axes."""
    place = tuning.place
    axes = {name: Axis((Written(value, place),), place) for name, value in group.axes.items()}
    axes |= {name: Axis(tuple(Written(each, place) for each in column), place) for name, column in values.items()}
    axes["seed"] = Axis(tuple(Written(seed, place) for seed in tuning.seeds), place)
    fixed = frozenset((*group.values, *tuning.params, "seed"))
    changed = replace(
        document,
        axes=axes,
        entries={
            label: replace(entry, own=without(entry.own, frozenset(tuning.params)))
            for label, entry in document.entries.items()
        },
        params={**without(document.params, fixed), **tuning.params},
        overrides=tuple(replace(entry, params=without(entry.params, fixed)) for entry in document.overrides),
    )
    plan = expand(changed, place)
    check_runs(changed, plan)
    return plan


def _present(name: str, axis: Axis, runs: Iterable[RunSpec]) -> tuple[Value, ...]:
    present = {run.axes[name] for run in runs if name in run.axes}
    return tuple(written.value for written in axis.values if written.value in present)
