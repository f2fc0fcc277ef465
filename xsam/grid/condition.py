"""Which cells of the matrix a part of a grid file is about: axes and parameters with the values that count."""

from __future__ import annotations

from collections.abc import Mapping

from xsam.grid.source import Node
from xsam.grid.vocabulary import Vocabulary, Written
from xsam.parameters import Parameters, nearest

Condition = Mapping[str, tuple[Written, ...]]


def condition_of(entries: Mapping[str, Node], vocabulary: Vocabulary) -> Condition:
    """The condition that a mapping of names to a value or several states; a mistake is one ``GridError``."""
    condition: dict[str, tuple[Written, ...]] = {}
    for name, node in entries.items():
        if name == "optimizer":
            condition[name] = tuple(_label(item) for item in _alternatives(node))
        elif vocabulary.has(name):
            condition[name] = vocabulary.values(name, node)
        else:
            near = nearest(name, ["optimizer", *vocabulary.names()])
            raise node.place.error(f"unknown axis or parameter {name!r}{near}")
        if not condition[name]:
            raise node.place.error(f"the list of values of {name!r} is empty")
    return condition


def meets(condition: Condition, values: Parameters) -> bool:
    """Whether ``values`` has one of the values that ``condition`` names, for each of its names."""
    return all(
        name in values and any(values[name] == wanted.value for wanted in alternatives)
        for name, alternatives in condition.items()
    )


def _alternatives(node: Node) -> tuple[Node, ...]:
    return node.value if isinstance(node.value, tuple) else (node,)


def _label(node: Node) -> Written:
    if not isinstance(node.value, str):
        raise node.place.error(f"optimizer must be a label, not {node.plain()!r}")
    return Written(node.value, node.place)
