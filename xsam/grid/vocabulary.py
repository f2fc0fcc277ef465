"""Every parameter that a grid of one task may name, whatever the method and its base."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from xsam.grid.source import Location, Node
from xsam.optim.method import ALTERNATIVES
from xsam.optim.registry import BASE, METHODS, parameters_of
from xsam.parameters import LISTS, Parameter, ParameterError, Value, nearest
from xsam.tasks import Task, own
from xsam.tasks.run_config import ALTERNATIVES as TRAINING_ALTERNATIVES

# The other one of two ways to say the same thing.
_PAIRS = (*ALTERNATIVES, *TRAINING_ALTERNATIVES)
PARTNER: Mapping[str, str] = {**dict(_PAIRS), **{second: first for first, second in _PAIRS}}


@dataclass(frozen=True)
class Written:
    """A value in its parameter's type, and where the user wrote it."""

    value: Value
    place: Location


def table_of(task: Task[Any], method: str, base: str) -> dict[str, Parameter]:
    """The parameters of a run of ``task`` by ``method`` on ``base`` (and ``base``, where the method wraps one)."""
    return {**task.config.parameters(), **_base_parameter(task, method), **parameters_of(method, base, task.bases)}


def _base_parameter(task: Task[Any], method: str) -> dict[str, Parameter]:
    if METHODS[method].alone is not None:
        return {}
    return {"base": replace(BASE, default=task.default_base, choices=tuple(task.bases))}


class Vocabulary:
    """The parameters of ``task`` and of every method on every base.

    One name may stand for different parameters (``lr`` has another default on Adam than on SGD); a value is valid here
    if one of them takes it, and a run checks it again against its own.
    """

    def __init__(self, task: Task[Any]) -> None:
        self._known: dict[str, list[Parameter]] = {}
        for method in METHODS:
            for base in task.bases:
                for name, parameter in table_of(task, method, base).items():
                    variants = self._known.setdefault(name, [])
                    if parameter not in variants:
                        variants.append(parameter)

    def check(self, name: str, place: Location) -> None:
        """Raise ``GridError`` at ``place``, with the nearest name, where no parameter is called ``name``."""
        if name == "optimizer":
            raise place.error("optimizer is no parameter: it must be an axis under matrix")
        if name not in self._known:
            raise place.error(f"unknown parameter {name!r}{nearest(name, self._known)}")

    def has(self, name: str) -> bool:
        """Whether a parameter is called ``name``."""
        return name in self._known

    def names(self) -> list[str]:
        """The names of all parameters."""
        return sorted(self._known)

    def value(self, name: str, node: Node) -> Written:
        """What ``node`` says for the parameter ``name``; raises ``GridError`` where that is not valid."""
        self.check(name, node.place)
        try:
            return Written(self.parse(name, node.plain()), node.place)
        except ParameterError as error:
            raise node.place.error(f"{error}{self._way_out(name, node)}") from None

    def _way_out(self, name: str, node: Node) -> str:
        """What somebody means who gives several values where a parameter has one."""
        if isinstance(node.value, tuple) and self._known[name][0].kind not in LISTS:
            return f": several values make it an axis of matrix ({name}: {_flow(node)})"
        if name == "dataset" and isinstance(node.value, str):
            return own.hint(node.value)
        if name == "seed" and isinstance(node.value, dict):
            return ": a count of seeds is an axis of matrix (seed: {count: 5})"
        return ""

    def parse(self, name: str, value: Any) -> Value:
        """``value`` in the type of the parameter ``name``; raises ``ParameterError`` where it is not valid."""
        first, *others = self._known[name]
        try:
            return first.parse(name, value)
        except ParameterError:
            for parameter in others:
                with contextlib.suppress(ParameterError):
                    return parameter.parse(name, value)
            raise

    def takes(self, name: str, value: Value) -> bool:
        """Whether ``value`` is within the limits of the parameter ``name``."""
        try:
            self.parse(name, value)
        except ParameterError:
            return False
        return True

    def params(self, entries: Mapping[str, Node]) -> dict[str, Written]:
        """The parameters of one mapping, in which each thing may be said once."""
        params = {name: self.value(name, node) for name, node in entries.items()}
        check_pairs({name: written.place for name, written in params.items()})
        return params

    def values(self, name: str, node: Node) -> tuple[Written, ...]:
        """What ``node`` says for ``name``, one value or a list of them.

        For a parameter that is itself a list, ``[64, 64]`` is one value and ``[[64], [64, 64]]`` are two.
        """
        self.check(name, node.place)
        lists = self._known[name][0].kind in LISTS
        items = node.value if isinstance(node.value, tuple) else (node,)
        if lists and not any(isinstance(item.value, tuple) for item in items):
            items = (node,)
        return tuple(self.value(name, item) for item in items)


def _flow(node: Node) -> str:
    return f"[{', '.join(show(each.plain()) for each in node.value)}]" if isinstance(node.value, tuple) else ""


def check_pairs(places: Mapping[str, Location]) -> None:
    """Raise ``GridError`` where two of the names, each written at its place, are alternatives of each other."""
    for name, place in places.items():
        if (other := PARTNER.get(name)) in places:
            raise place.error(f"{name} and {other} are two ways to say the same thing: leave out one of them")


def without(written: Mapping[str, Written], names: frozenset[str]) -> dict[str, Written]:
    """``written`` without what says anything about ``names``, under their own name or their alternative's."""
    return {
        name: value for name, value in written.items() if name not in names and PARTNER.get(name, name) not in names
    }


def layered(*layers: Mapping[str, Written]) -> dict[str, Written]:
    """All layers as one, later ones first: a name replaces itself and its alternative in the layers before."""
    merged: dict[str, Written] = {}
    for layer in layers:
        merged = {**without(merged, frozenset(layer)), **layer}
    return merged


def show(value: Value) -> str:
    """A value as a grid would write it.

    >>> show(None), show((64, 64)), show(True), show(0.1)
    ('null', '[64, 64]', 'true', '0.1')
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return str(list(value)) if isinstance(value, tuple) else str(value)
