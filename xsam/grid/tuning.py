"""The block ``tune:`` of a grid file: which values to try, on which seeds, and which measure decides.

There are two ways. With ``trials``, the space has ranges, and every method tries so many points of it: one budget for
all, however many parameters a method has. Without, it has lists of values, and every combination is tried.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from xsam.grid.axes import Axis, axis_of
from xsam.grid.condition import Condition, condition_of
from xsam.grid.source import Location, Node, check_keys
from xsam.grid.vocabulary import PARTNER, Vocabulary, Written, without
from xsam.metrics import NEITHER, VALIDATION, Metric
from xsam.parameters import Value, nearest, whole
from xsam.tasks import Task

RULES = ("final", "last5_mean", "best")
KEYS = ("space", "overrides", "trials", "seeds", "params", "metric", "rule", "max_extensions", "follow")
ALPHA = "alpha"  # what a method that follows may take: the mean of what its leader's searches found
LOG, LINEAR = SCALES = ("log", "linear")
MAX_TRIALS = 1024
DIGITS = 4  # of a drawn value: grid files and tables show it whole


@dataclass(frozen=True)
class Range:
    """From ``low`` to ``high``, both above 0, on a logarithmic or a linear scale.

    >>> Range(0.01, 1.0).at(0.5), Range(0.5, 0.9, LINEAR).at(0.25), round(Range(0.01, 1.0).share(0.1), 3)
    (0.1, 0.6, 0.5)
    """

    low: float
    high: float
    scale: str = LOG

    def at(self, share: float) -> float:
        """The value at a share, from 0 to 1, of the way; with four digits."""
        if self.scale == LOG:
            value = self.low * (self.high / self.low) ** share
        else:
            value = self.low + (self.high - self.low) * share
        return float(f"{value:.{DIGITS}g}")

    def share(self, value: float) -> float:
        """The inverse of :meth:`at`."""
        if self.scale == LOG:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class RangeOverride:
    """Ranges for the cells that meet ``when``, in place of those of the space or beside them."""

    when: Condition
    ranges: Mapping[str, Range]
    place: Location


@dataclass(frozen=True)
class Follower:
    """A label that has no trials of its own: its values follow from what was chosen for another one.

    Attributes:
        label, leader: labels of ``optimizer``; what was chosen for the leader counts at the same place of the matrix.
        params: parameter → the factors of its value: the leader's tuned parameters, and ``"alpha"``, the mean alpha
            over the epochs of the leader's winning trial.
        place: where it is written.
    """

    label: str
    leader: str
    params: Mapping[str, tuple[str, ...]]
    place: Location


@dataclass(frozen=True)
class Tuning:
    """How a grid is tuned; one rule and one budget for all of its methods.

    Attributes:
        space: parameter → the values to try, ascending; extended geometrically where the best one is on the edge.
        ranges: in place of it where there are ``trials``: parameter → where its values are drawn from.
        overrides: other ranges for some cells, later ones win.
        trials: how many points of the ranges each method tries; ``None``: every combination of the values.
        seeds: the seeds to try them on.
        params: what differs in tuning runs from the grid's own (``epochs``, ``val_fraction``).
        metric: a metric of the validation part, one of the task's epoch metrics.
        rule: how a run's epochs make one number, in ``RULES``: the last epoch, the mean of the last five, the best.
        max_extensions: how many values a parameter's list may gain, for each method by itself.
        follow: labels that are not tuned themselves.
        place: where the block begins.
    """

    space: Mapping[str, Axis]
    ranges: Mapping[str, Range]
    overrides: tuple[RangeOverride, ...]
    trials: int | None
    seeds: tuple[int, ...]
    params: Mapping[str, Written]
    metric: Metric
    rule: str
    max_extensions: int
    follow: tuple[Follower, ...]
    place: Location

    @property
    def names(self) -> tuple[str, ...]:
        """Every parameter that is tuned in some cell."""
        special = (name for override in self.overrides for name in override.ranges)
        return tuple(dict.fromkeys((*self.space, *self.ranges, *special)))

    def less(self, names: frozenset[str]) -> Tuning:
        """The same without what it says about ``names``."""

        def kept(name: str) -> bool:
            return not {name, PARTNER.get(name)} & names

        overrides = (
            replace(one, ranges={name: item for name, item in one.ranges.items() if kept(name)})
            for one in self.overrides
        )
        return replace(
            self,
            space={name: axis for name, axis in self.space.items() if kept(name)},
            ranges={name: item for name, item in self.ranges.items() if kept(name)},
            overrides=tuple(overrides),
            params=without(self.params, names),
        )


def tuning_of(node: Node, axes: Mapping[str, Axis], task: Task[Any], vocabulary: Vocabulary) -> Tuning:
    """The block ``tune`` of a grid with ``axes``; the first mistake is one ``GridError`` at its line."""
    entries = node.mapping("tune")
    check_keys(entries, KEYS, "key of tune")
    for key in ("space", "seeds"):
        if key not in entries:
            raise node.place.error(f"tune needs {key!r}")
    trials = _whole(entries["trials"], "trials", 1, MAX_TRIALS) if "trials" in entries else None
    listed = entries["space"].mapping("space")
    if not listed:
        raise entries["space"].place.error("the space is empty: give at least one parameter with its values")
    space: dict[str, Axis] = {}
    ranges: dict[str, Range] = {}
    overrides: tuple[RangeOverride, ...] = ()
    if trials is None:
        if "overrides" in entries:
            raise entries["overrides"].place.error("overrides of a space need trials: lists are the same for all")
        space = {name: _values(name, item, vocabulary) for name, item in listed.items()}
    else:
        if "max_extensions" in entries:
            raise entries["max_extensions"].place.error("with trials nothing is extended: every method has as many")
        ranges = _ranges(listed, vocabulary)
        given = entries["overrides"].items("overrides") if "overrides" in entries else ()
        overrides = tuple(_override(item, vocabulary) for item in given)
    params = vocabulary.params(entries["params"].mapping("params")) if "params" in entries else {}
    places = {name: item.place for name, item in listed.items()}
    places |= {name: override.place for override in overrides for name in override.ranges if name not in places}
    for name, written in params.items():
        if name in places or PARTNER.get(name) in places:
            raise written.place.error(f"{name} is in the space and in params of tune: leave out one of them")
        places[name] = written.place
    for name, place in places.items():
        for axis in (name, PARTNER.get(name)):
            if axis in axes:
                raise place.error(f"{name} cannot be tuned, {axis} is an axis of the matrix")
        if PARTNER.get(name) in places:
            raise place.error(f"{name} and {PARTNER[name]} are two ways to say the same thing: leave out one of them")
    validated = {
        one.name: one for one in task.epoch_metrics if one.name.startswith(VALIDATION) and one.better != NEITHER
    }
    return Tuning(
        space=space,
        ranges=ranges,
        overrides=overrides,
        trials=trials,
        seeds=_seeds(entries["seeds"], vocabulary),
        params=params,
        metric=validated[_choice(entries, "metric", tuple(validated))],
        rule=_choice(entries, "rule", RULES),
        max_extensions=_whole(entries["max_extensions"], "max_extensions", 0, 20) if "max_extensions" in entries else 3,
        follow=_followers(entries["follow"], axes, {*listed, ALPHA}, vocabulary) if "follow" in entries else (),
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


def _override(node: Node, vocabulary: Vocabulary) -> RangeOverride:
    entries = node.mapping("an override of the space")
    check_keys(entries, ("when", "space"), "key of an override of the space")
    for key in ("when", "space"):
        if key not in entries or not entries[key].mapping(key):
            raise node.place.error(f"an override of the space needs {key!r} with at least one entry")
    when = condition_of(entries["when"].mapping("when"), vocabulary)
    return RangeOverride(when, _ranges(entries["space"].mapping("space"), vocabulary), node.place)


def _followers(
    node: Node, axes: Mapping[str, Axis], factors: Iterable[str], vocabulary: Vocabulary
) -> tuple[Follower, ...]:
    found: list[Follower] = []
    for item in node.items("follow"):
        entries = item.mapping("an entry of follow")
        check_keys(entries, ("optimizer", "of", "params"), "key of follow")
        for key in ("optimizer", "of", "params"):
            if key not in entries or not entries[key].value:
                raise item.place.error(f"an entry of follow needs {key!r}")
        label, leader = (_labelled(entries[key], axes) for key in ("optimizer", "of"))
        if label in [one.label for one in found]:
            raise entries["optimizer"].place.error(f"{label} follows twice")
        params = {}
        for name, given in entries["params"].mapping("params").items():
            vocabulary.check(name, given.place)
            named = given.value if isinstance(given.value, tuple) else (given,)
            for factor in named:
                if factor.plain() not in factors:
                    raise factor.place.error(f"{factor.plain()!r} is not tuned{nearest(str(factor.plain()), factors)}")
            params[name] = tuple(str(factor.plain()) for factor in named)
        found.append(Follower(label, leader, params, item.place))
    for one in found:
        if one.leader in [other.label for other in found]:
            raise one.place.error(f"{one.label} follows {one.leader}, which follows another one: name that one")
    return tuple(found)


def _labelled(node: Node, axes: Mapping[str, Axis]) -> str:
    labels = [str(written.value) for written in axes["optimizer"].values]
    if node.plain() not in labels:
        raise node.place.error(f"no label of optimizer is {node.plain()!r}{nearest(str(node.plain()), labels)}")
    return str(node.plain())


def _ranges(entries: Mapping[str, Node], vocabulary: Vocabulary) -> dict[str, Range]:
    return {name: _range(name, node, vocabulary) for name, node in entries.items()}


def _range(name: str, node: Node, vocabulary: Vocabulary) -> Range:
    """``{from: 0.01, to: 1, scale: linear}``; the scale is logarithmic by default."""
    if not isinstance(node.value, dict):
        raise node.place.error(
            f"with trials, {name} needs a range, such as {{from: 0.01, to: 1}}, not {node.plain()!r}"
        )
    check_keys(node.value, ("from", "to", "scale"), "key of a range")
    ends = []
    for key in ("from", "to"):
        if key not in node.value:
            raise node.place.error(f"the range of {name} needs {key!r}")
        value = vocabulary.value(name, node.value[key]).value
        if isinstance(value, bool) or not isinstance(value, float) or value <= 0:
            raise node.value[key].place.error(f"the range of {name} must be of numbers above 0, not {value!r}")
        ends.append(value)
    low, high = ends
    if not low < high:
        raise node.place.error(f"the range of {name} must rise, not go from {low:g} to {high:g}")
    return Range(low, high, _choice(node.value, "scale", SCALES))


def _seeds(node: Node, vocabulary: Vocabulary) -> tuple[int, ...]:
    """The seeds as a list, or as ``{first: N, count: N}``."""
    return tuple(whole(written.value) for written in axis_of("seed", node, vocabulary).values)


def _choice(entries: Mapping[str, Node], key: str, choices: tuple[str, ...]) -> str:
    if key not in entries:
        return choices[0]
    value = entries[key].plain()
    if value not in choices:
        raise entries[key].place.error(f"unknown {key} {value!r}{nearest(str(value), choices)}")
    return str(value)


def _whole(node: Node, key: str, least: int, most: int) -> int:
    value = node.value
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise node.place.error(f"{key} must be a whole number from {least} to {most}, not {node.plain()!r}")
    return value
