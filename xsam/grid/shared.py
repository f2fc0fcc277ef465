"""Cells that share their runs: where labels are one and the same run, it is trained once and shown under each.

Three conventions of what several ascent steps keep fixed are one run at a single step. A table says so with
``shared: [{of: sam, at: {ascent_steps: 1}, by: [sam_per_step]}]``: the runs of ``sam`` at one step are also those of
``sam_per_step``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xsam.grid.source import Node, check_keys
from xsam.grid.spec import RunSpec
from xsam.parameters import Value, nearest

KEYS = ("of", "at", "by")
_NEVER = ("optimizer", "seed")


@dataclass(frozen=True)
class Shared:
    """Runs of one label that others have too.

    Attributes:
        of: the label whose runs they are.
        at: axis → value where they are shared.
        by: the other labels, which have no runs of their own there.
    """

    of: str
    at: Mapping[str, Value]
    by: tuple[str, ...]

    def has(self, run: RunSpec) -> bool:
        """Whether the run is one of those that are shared."""
        return run.optimizer == self.of and self.is_at(run)

    def is_at(self, run: RunSpec) -> bool:
        """Whether the run stands where runs are shared."""
        return all(run.axes.get(axis) == value for axis, value in self.at.items())

    def to_json(self) -> dict[str, Any]:
        """As ``grid.json`` holds it."""
        at = {axis: list(value) if isinstance(value, tuple) else value for axis, value in self.at.items()}
        return {"of": self.of, "at": at, "by": list(self.by)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Shared:
        """The inverse of :meth:`to_json`."""
        at = {axis: tuple(value) if isinstance(value, list) else value for axis, value in data["at"].items()}
        return cls(data["of"], at, tuple(data["by"]))


def shared_of(
    node: Node, axes: Mapping[str, tuple[Value, ...]], runs: Sequence[RunSpec], whole: bool
) -> tuple[Shared, ...]:
    """What the list ``shared`` of a table says, over the axes and runs of its grid.

    Args:
        node: the list.
        axes: the grid's axes with their values.
        runs: its runs.
        whole: whether the grid is as its file says; of one that ``--set`` has changed, entries that no run meets any
            more are left out.
    """
    found = (_shared(item, axes, runs, whole) for item in node.items("shared"))
    return tuple(one for one in found if one is not None)


def _shared(item: Node, axes: Mapping[str, tuple[Value, ...]], runs: Sequence[RunSpec], whole: bool) -> Shared | None:
    entries = item.mapping("an entry of shared")
    check_keys(entries, KEYS, "key of shared")
    for key in KEYS:
        if key not in entries:
            raise item.place.error(f"an entry of shared needs {key!r}")
    at = _at(entries["at"], axes)
    of, by = str(entries["of"].plain()), tuple(str(label.plain()) for label in entries["by"].items("by"))
    labels = [str(label) for label in axes.get("optimizer", ())]
    if not whole:
        one = Shared(of, at, tuple(label for label in by if label in labels))
        return one if one.by and any(map(one.has, runs)) else None
    for key, name, place in (("of", of, entries["of"]), *(("by", name, entries["by"]) for name in by)):
        if name not in labels:
            raise place.place.error(f"{key} names {name!r}, which is no optimizer of this grid{nearest(name, labels)}")
    one = Shared(of, at, by)
    _check(one, entries, runs)
    return one


def _at(node: Node, axes: Mapping[str, tuple[Value, ...]]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for axis, item in node.mapping("at").items():
        if axis in _NEVER or axis not in axes:
            near = nearest(axis, [name for name in axes if name not in _NEVER])
            raise item.place.error(f"at names {axis!r}, which is not an axis of this grid's labels{near}")
        value = item.plain()
        found[axis] = tuple(value) if isinstance(value, list) else value
    if not found:
        raise node.place.error("at needs an axis with its value")
    return found


def _check(one: Shared, entries: Mapping[str, Node], runs: Sequence[RunSpec]) -> None:
    where = ", ".join(f"{axis} {value}" for axis, value in one.at.items())
    ours = next((run for run in runs if one.has(run)), None)
    if ours is None:
        raise entries["at"].place.error(f"{one.of} has no run at {where} that could be shared")
    if not one.by:
        raise entries["by"].place.error(f"by names no label that shares the runs of {one.of}")
    for label in one.by:
        theirs = [run for run in runs if run.optimizer == label]
        if any(map(one.is_at, theirs)):
            raise entries["by"].place.error(f"{label} has runs of its own at {where}: exclude them, or leave it out")
        if theirs[0].method != ours.method:
            raise entries["by"].place.error(
                f"{label} is {theirs[0].method} and {one.of} is {ours.method}: they can share no run"
            )
