"""The block ``tune:`` of a grid file: which values to try, on which seeds, and which measure decides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from xsam.grid.axes import MAX_CELLS, Axis, axis_of
from xsam.grid.source import Location, Node, check_keys
from xsam.grid.vocabulary import PARTNER, Vocabulary, Written, without
from xsam.metrics import NEITHER, Metric
from xsam.parameters import Value, nearest, whole
from xsam.tasks import Task

RULES = ("final", "last5_mean", "best")
KEYS = ("space", "seeds", "params", "metric", "rule", "max_extensions")
PREFIX = "val_"


@dataclass(frozen=True)
class Tuning:
    """How a grid is tuned; one rule and one budget for all of its methods.

    Attributes:
        space: parameter → the values to try, ascending; extended geometrically where the best one is on the edge.
        seeds: the seeds to try them on.
        params: what differs in tuning runs from the grid's own (``epochs``, ``val_fraction``).
        metric: a metric of the validation part, one of the task's epoch metrics.
        rule: how a run's epochs make one number, in ``RULES``: the last epoch, the mean of the last five, the best.
        max_extensions: how many values a parameter's list may gain, for each method by itself.
        place: where the block begins.
    """

    space: Mapping[str, Axis]
    seeds: tuple[int, ...]
    params: Mapping[str, Written]
    metric: Metric
    rule: str
    max_extensions: int
    place: Location

    def less(self, names: frozenset[str]) -> Tuning:
        """The same without what it says about ``names``."""
        space = {name: axis for name, axis in self.space.items() if not {name, PARTNER.get(name)} & names}
        return replace(self, space=space, params=without(self.params, names))


def tuning_of(node: Node, axes: Mapping[str, Axis], task: Task[Any], vocabulary: Vocabulary) -> Tuning:
    """The block ``tune`` of a grid with ``axes``; the first mistake is one ``GridError`` at its line."""
    entries = node.mapping("tune")
    check_keys(entries, KEYS, "key of tune")
    for key in ("space", "seeds"):
        if key not in entries:
            raise node.place.error(f"tune needs {key!r}")
    space = {name: _values(name, item, vocabulary) for name, item in entries["space"].mapping("space").items()}
    if not space:
        raise entries["space"].place.error("the space is empty: give at least one parameter with its values")
    params = vocabulary.params(entries["params"].mapping("params")) if "params" in entries else {}
    places = {name: axis.place for name, axis in space.items()}
    for name, written in params.items():
        if name in places or PARTNER.get(name) in places:
            raise written.place.error(f"{name} is in the space and in params of tune: leave out one of them")
        places[name] = written.place
    for name, place in places.items():
        for axis in (name, PARTNER.get(name)):
            if axis in axes:
                raise place.error(f"{name} cannot be tuned, {axis} is an axis of the matrix")
        if PARTNER.get(name) in space:
            raise place.error(f"{name} and {PARTNER[name]} are two ways to say the same thing: leave out one of them")
    validated = {one.name: one for one in task.epoch_metrics if one.name.startswith(PREFIX) and one.better != NEITHER}
    return Tuning(
        space=space,
        seeds=_seeds(entries["seeds"], vocabulary),
        params=params,
        metric=validated[_choice(entries, "metric", tuple(validated))],
        rule=_choice(entries, "rule", RULES),
        max_extensions=_limit(entries["max_extensions"]) if "max_extensions" in entries else 3,
        place=node.place,
    )


def check_seeds(tuning: Tuning, own: Iterable[Value]) -> None:
    """Raise ``GridError`` where a seed of ``tuning`` is one of the grid's ``own``."""
    if shared := sorted(set(tuning.seeds).intersection(own)):
        raise tuning.place.error(
            f"seed {shared[0]} of tune is one of the grid's own: values must be chosen on seeds that no table uses, "
            "such as {first: 1000, count: 2}"
        )


def _values(name: str, node: Node, vocabulary: Vocabulary) -> Axis:
    axis = axis_of(name, node, vocabulary)
    numbers = [each.value for each in axis.values if isinstance(each.value, int | float) and each.value is not True]
    if len(numbers) < len(axis.values) or numbers != sorted(numbers) or min(numbers) <= 0:
        raise node.place.error(f"the values of {name} must be numbers above 0 that rise, not {node.plain()!r}")
    return axis


def _seeds(node: Node, vocabulary: Vocabulary) -> tuple[int, ...]:
    """The seeds as a list, or as ``{first: N, count: N}``."""
    if isinstance(node.value, dict):
        check_keys(node.value, ("first", "count"), "key of seeds")
        first, count = (node.value[key].value if key in node.value else None for key in ("first", "count"))
        if not isinstance(first, int) or not isinstance(count, int) or not 1 <= count <= MAX_CELLS or first < 0:
            raise node.place.error("seeds must be a list or {first: N, count: N}, both whole numbers")
        seeds = tuple(range(first, first + count))
    else:
        seeds = tuple(whole(written.value) for written in axis_of("seed", node, vocabulary).values)
    return seeds


def _choice(entries: Mapping[str, Node], key: str, choices: tuple[str, ...]) -> str:
    if key not in entries:
        return choices[0]
    value = entries[key].plain()
    if value not in choices:
        raise entries[key].place.error(f"unknown {key} {value!r}{nearest(str(value), choices)}")
    return str(value)


def _limit(node: Node) -> int:
    value = node.value
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 20:
        raise node.place.error(f"max_extensions must be a whole number from 0 to 20, not {node.plain()!r}")
    return value
