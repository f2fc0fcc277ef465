"""The comparisons that a table declares before anything is run: its primary ones, which are adjusted for their number.

Everything else that a table compares is exploratory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xsam.grid.source import Node, check_keys
from xsam.parameters import Value, nearest

KEYS = ("of", "with", "per", "margin")
_NEVER = ("optimizer", "seed")


@dataclass(frozen=True)
class Declared:
    """A label against another one, in each cell of some axes.

    Attributes:
        of, against: labels of ``optimizer``; the difference is ``of`` minus ``against``.
        per: the axes whose values make a comparison each.
        margin: a difference up to this does not matter, in the metric's unit; ``None`` where none was declared.
    """

    of: str
    against: str
    per: tuple[str, ...]
    margin: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As ``grid.json`` holds it."""
        margin = {} if self.margin is None else {"margin": self.margin}
        return {"of": self.of, "with": self.against, "per": list(self.per), **margin}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Declared:
        """The inverse of :meth:`to_json`."""
        return cls(data["of"], data["with"], tuple(data["per"]), data.get("margin"))


def declared_of(
    node: Node, axes: Mapping[str, tuple[Value, ...]], where: Mapping[str, tuple[Value, ...]]
) -> tuple[Declared, ...]:
    """The comparisons that the list ``compare`` of a table declares, over the axes of its grid.

    Args:
        node: the list.
        axes: the grid's axes with their values.
        where: what the table is limited to.
    """
    found: list[Declared] = []
    for item in node.items("compare"):
        one = _declared(item, axes, where)
        if (one.of, one.against) in [(other.of, other.against) for other in found]:
            raise item.place.error(f"{one.of} is compared with {one.against} twice")
        found.append(one)
    return tuple(found)


def _declared(item: Node, axes: Mapping[str, tuple[Value, ...]], where: Mapping[str, tuple[Value, ...]]) -> Declared:
    entries = item.mapping("an entry of compare")
    check_keys(entries, KEYS, "key of compare")
    for key in ("of", "with"):
        if key not in entries:
            raise item.place.error(f"an entry of compare needs {key!r}, a label of optimizer")
    labels = [str(label) for label in where.get("optimizer", axes.get("optimizer", ()))]
    of, against = (_label(entries[key], key, labels) for key in ("of", "with"))
    if of == against:
        raise entries["with"].place.error(f"{of} is compared with itself")
    several = {
        name: where.get(name, values)
        for name, values in axes.items()
        if name not in _NEVER and len(where.get(name, values)) > 1
    }
    per = _per(entries["per"], axes) if "per" in entries else tuple(name for name in axes if name not in _NEVER)
    for name, values in several.items():
        if name not in per:
            place = entries["per"].place if "per" in entries else item.place
            raise place.error(f"per leaves out {name!r}, which has {len(values)} values: they would be averaged")
    margin = _margin(entries["margin"]) if "margin" in entries else None
    return Declared(of, against, per, margin)


def _label(node: Node, key: str, labels: Sequence[str]) -> str:
    label = node.plain()
    if not isinstance(label, str) or label not in labels:
        raise node.place.error(
            f"{key} names {label!r}, which is no optimizer of this table{nearest(str(label), labels)}"
        )
    return label


def _per(node: Node, axes: Mapping[str, tuple[Value, ...]]) -> tuple[str, ...]:
    chosen: list[str] = []
    for item in node.items("per"):
        name = item.plain()
        if name in _NEVER:
            raise item.place.error(f"per cannot name {name}: a comparison is of two optimizers, paired by seed")
        if not isinstance(name, str) or name not in axes:
            known = [axis for axis in axes if axis not in _NEVER]
            raise item.place.error(f"per names {name!r}, which is not an axis of this grid{nearest(str(name), known)}")
        if name not in chosen:
            chosen.append(name)
    return tuple(chosen)


def _margin(node: Node) -> float:
    value = node.plain()
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise node.place.error(f"margin must be a number above 0, not {value!r}")
    return float(value)
