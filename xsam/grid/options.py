"""What the command line says about a grid: ``--set`` changes it, ``--only`` picks some of its runs."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from xsam.grid.axes import Axis, Entry, axis_of, entries_of, optimizer_axis
from xsam.grid.grid import Grid
from xsam.grid.grid_document import GridDocument
from xsam.grid.source import Location, Node, scalar
from xsam.grid.spec import RunSpec, canonical_json
from xsam.grid.vocabulary import PARTNER, Vocabulary, Written, show, without
from xsam.grid.yaml_file import parse_yaml
from xsam.parameters import Value, nearest
from xsam.tasks import get_task

HASH_DIGITS = 8


def apply_sets(document: GridDocument, sets: Sequence[str]) -> GridDocument:
    """``document`` with each ``key=value``: an axis gets these values, any other parameter this value in every run.

    What is set wins over ``params``, labels, overrides and ``tune``, which lose what they say about it. The name
    becomes ``NAME@<hash of the sets>``, whatever their order. Raises ``GridError`` that names the option.
    """
    nodes = assignments("--set", sets)
    names = frozenset(nodes)
    axes, entries, params = dict(document.axes), dict(document.entries), without(document.params, names)
    for name, node in nodes.items():
        if name in axes:
            axes[name], entries = _replaced(name, node, document, entries)
        else:
            params[name] = _parameter(name, node, document, nodes)
    overrides = (dataclasses.replace(entry, params=without(entry.params, names)) for entry in document.overrides)
    edited = dataclasses.replace(
        document,
        axes=axes,
        entries={label: dataclasses.replace(entry, own=without(entry.own, names)) for label, entry in entries.items()},
        params=params,
        overrides=tuple(entry for entry in overrides if entry.params),
        tune=None if document.tune is None else document.tune.less(names),
    )
    return dataclasses.replace(edited, name=f"{document.name}@{_hash(edited, nodes)}")


def select(grid: Grid, only: Sequence[str]) -> tuple[RunSpec, ...]:
    """The runs of ``grid`` that meet every ``key=value[,value]`` of ``only``, in the grid's order; all, without any.

    A key is ``optimizer`` (a label), an axis or a parameter; a run that does not use it is not selected. Raises
    ``GridError`` for an unknown key, a value that no run has, and where no run meets them all.
    """
    runs = grid.runs
    for name, node in assignments("--only", only).items():
        wanted = _wanted(name, node, grid)
        present = {value for run in grid.runs for value in _standing(run, name)}
        for value in wanted:
            if value not in present:
                near = nearest(show(value), [show(other) for other in present])
                raise node.place.error(f"no run of {grid.name} has {name}={show(value)}{near}")
        runs = tuple(run for run in runs if any(value in wanted for value in _standing(run, name)))
    if not runs:
        raise Location(" ".join(f"--only {text}" for text in only)).error(f"no run of {grid.name} meets all of these")
    return runs


def _wanted(name: str, node: Node, grid: Grid) -> tuple[Value, ...]:
    if name == "optimizer":
        return tuple(str(item.plain()) for item in (node.value if isinstance(node.value, tuple) else (node,)))
    vocabulary = Vocabulary(get_task(grid.task))
    if not vocabulary.has(name):
        raise node.place.error(f"unknown axis or parameter {name!r}{nearest(name, ['optimizer', *vocabulary.names()])}")
    return tuple(written.value for written in vocabulary.values(name, node))


def _standing(run: RunSpec, name: str) -> tuple[Value, ...]:
    """The value at which ``run`` stands, on the axis first; empty where it does not use ``name``."""
    values = {**run.params, **run.axes, "optimizer": run.optimizer}
    return (values[name],) if name in values else ()


def assignments(option: str, texts: Sequence[str]) -> dict[str, Node]:
    """``key=value`` texts as nodes by key: a value is a YAML list or mapping, or scalars between commas."""
    nodes: dict[str, Node] = {}
    for text in texts:
        place = Location(f"{option} {text}")
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not key:
            raise place.error("write key=value")
        if key in nodes:
            raise place.error(f"{key} is given twice")
        nodes[key] = Node(_parsed(value, place), place)
    return nodes


def _parsed(value: str, place: Location) -> bool | int | float | str | tuple[Node, ...] | dict[str, Node] | None:
    if value.startswith(("[", "{", "'", '"')):
        return parse_yaml(value, place.file, numbered=False).value
    items = tuple(Node(scalar(item.strip(), place), place) for item in value.split(","))
    return items if len(items) > 1 else items[0].value


def _replaced(
    name: str, node: Node, document: GridDocument, entries: dict[str, Entry]
) -> tuple[Axis, dict[str, Entry]]:
    if not isinstance(node.value, tuple | dict) or (name == "optimizer" and isinstance(node.value, dict)):
        node = Node((node,), node.place)
    if name == "optimizer":
        entries = entries_of(node, document.vocabulary, document.entries)
        return optimizer_axis(entries, node.place), entries
    return axis_of(name, node, document.vocabulary), entries


def _parameter(name: str, node: Node, document: GridDocument, nodes: Mapping[str, Node]) -> Written:
    written = document.vocabulary.value(name, node)
    partner = PARTNER.get(name)
    if partner in document.axes:
        raise node.place.error(f"{partner} is an axis of the matrix and says the same thing: set {partner}")
    if partner in nodes:
        raise node.place.error(f"{name} and {partner} are two ways to say the same thing: leave out one of them")
    return written


def _hash(edited: GridDocument, nodes: Mapping[str, Node]) -> str:
    content: dict[str, Any] = {}
    for name in nodes:
        if name == "optimizer":
            content[name] = [
                [entry.label, entry.method, {key: written.value for key, written in entry.own.items()}]
                for entry in edited.entries.values()
            ]
        elif name in edited.axes:
            content[name] = [written.value for written in edited.axes[name].values]
        else:
            content[name] = edited.params[name].value
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:HASH_DIGITS]
