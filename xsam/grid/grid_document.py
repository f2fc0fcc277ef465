"""The structure of a grid file: each part in its type with its place, nothing combined yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xsam.grid.axes import Axis, Entry, axis_of, entries_of, optimizer_axis
from xsam.grid.condition import Condition, condition_of
from xsam.grid.names import is_grid_name
from xsam.grid.source import Location, Node, check_keys
from xsam.grid.tuning import Tuning, tuning_of
from xsam.grid.vocabulary import PARTNER, Vocabulary, Written, check_pairs
from xsam.parameters import nearest
from xsam.plugins import PluginError, load
from xsam.plugins.installed import load_announced
from xsam.tasks import Task, get_task

KEYS = (
    *("name", "task", "plugins", "matrix", "params", "overrides", "exclude"),
    *("report", "tune", "diagnostics", "keep_checkpoints"),
)


@dataclass(frozen=True)
class Override:
    """Parameters for the cells that meet every condition of ``when``."""

    when: Condition
    params: Mapping[str, Written]
    place: Location


@dataclass(frozen=True)
class Exclusion:
    """The cells to leave out: those that meet every condition."""

    condition: Condition
    place: Location


@dataclass(frozen=True)
class GridDocument:
    """A grid file's content.

    ``matrix`` is where the mapping of axes begins; ``report`` and ``diagnostics`` are still as written;
    not every grid has a ``tune`` or ``diagnostics``. ``plugins`` are the names of those that the file lists.
    """

    name: str
    task: Task[Any]
    vocabulary: Vocabulary
    axes: Mapping[str, Axis]
    entries: Mapping[str, Entry]
    params: Mapping[str, Written]
    overrides: tuple[Override, ...]
    exclude: tuple[Exclusion, ...]
    report: Node
    matrix: Location
    tune: Tuning | None
    diagnostics: Node | None
    keep_checkpoints: bool
    plugins: tuple[str, ...] = ()


def document_of(root: Node, folder: Path = Path()) -> GridDocument:
    """Check the structure of a grid file; the first mistake is one ``GridError`` at its line.

    Loads the plug-ins that it names, whose paths begin at ``folder``.
    """
    check_keys(root.mapping("a grid"), KEYS, "key")
    top = {key: node for key, node in root.mapping("a grid").items() if node.value is not None}
    plugins = _plugins(top, folder)
    try:
        load_announced(_texts(root))
    except PluginError as error:
        raise root.place.error(f"an installed plug-in does not work: {error}") from error
    for key in ("name", "task", "matrix"):
        if key not in top:
            raise root.place.error(f"the key {key!r} is missing")
    task = _task(top["task"])
    vocabulary = Vocabulary(task)
    matrix = top["matrix"].mapping("matrix")
    axes, entries = _axes(matrix, top["matrix"].place, vocabulary)
    params = vocabulary.params(_mapping(top, "params"))
    for name, value in params.items():
        if name in axes:
            raise value.place.error(f"{name} is an axis of the matrix and in params: leave out one of them")
    for name in ("model", "dataset"):
        if name not in axes and name not in params:
            raise top["matrix"].place.error(f"{name} is missing: make it an axis of the matrix or give it in params")
    return GridDocument(
        name=_name(top["name"]),
        task=task,
        vocabulary=vocabulary,
        axes=axes,
        entries=entries,
        params=params,
        overrides=tuple(_override(node, axes, vocabulary) for node in _list(top, "overrides")),
        exclude=tuple(_exclusion(node, vocabulary) for node in _list(top, "exclude")),
        report=top.get("report", Node({}, root.place)),
        matrix=top["matrix"].place,
        tune=tuning_of(top["tune"], axes, task, vocabulary) if "tune" in top else None,
        diagnostics=top.get("diagnostics"),
        keep_checkpoints=_flag(top, "keep_checkpoints"),
        plugins=plugins,
    )


def _mapping(top: Mapping[str, Node], key: str) -> dict[str, Node]:
    return top[key].mapping(key) if key in top else {}


def _list(top: Mapping[str, Node], key: str) -> tuple[Node, ...]:
    return top[key].items(key) if key in top else ()


def _flag(top: Mapping[str, Node], key: str) -> bool:
    value = top[key].value if key in top else False
    if not isinstance(value, bool):
        raise top[key].place.error(f"{key} must be true or false, not {top[key].plain()!r}")
    return value


def _plugins(top: Mapping[str, Node], folder: Path) -> tuple[str, ...]:
    """Load the plug-ins that the grid lists; returns their names."""
    names = []
    for node in _list(top, "plugins"):
        if not isinstance(node.value, str):
            raise node.place.error(f"a plug-in is a file or a module, not {node.plain()!r}")
        try:
            names.append(load(node.value, folder).name)
        except PluginError as error:
            raise node.place.error(str(error)) from error
    return tuple(dict.fromkeys(names))


def _texts(node: Node) -> set[str]:
    """Every text below ``node`` that may be a name."""
    found: set[str] = set()
    waiting = [node]
    while waiting:
        value = waiting.pop().value
        if isinstance(value, str):
            found.add(value)
        elif isinstance(value, tuple):
            waiting += value
        elif isinstance(value, dict):
            waiting += value.values()
    return found


def _name(node: Node) -> str:
    if not isinstance(node.value, str) or not is_grid_name(node.value):
        raise node.place.error(
            f"name must be at most 100 letters, digits, '.', '_' and '-' without a leading dot, not {node.plain()!r}"
        )
    return node.value


def _task(node: Node) -> Task[Any]:
    if not isinstance(node.value, str):
        raise node.place.error(f"task must be a name, not {node.plain()!r}")
    try:
        return get_task(node.value)
    except ValueError as error:
        raise node.place.error(str(error)) from None


def _axes(
    matrix: Mapping[str, Node], place: Location, vocabulary: Vocabulary
) -> tuple[dict[str, Axis], dict[str, Entry]]:
    axes: dict[str, Axis] = {}
    entries: dict[str, Entry] = {}
    for name, node in matrix.items():
        if name == "optimizer":
            entries = entries_of(node, vocabulary, {})
            axes[name] = optimizer_axis(entries, node.place)
        elif vocabulary.has(name):
            axes[name] = axis_of(name, node, vocabulary)
        else:
            raise node.place.error(f"unknown axis {name!r}{nearest(name, ['optimizer', *vocabulary.names()])}")
    if not entries:
        raise place.error("optimizer is missing: it must be an axis of the matrix")
    check_pairs({name: axis.place for name, axis in axes.items()})
    return axes, entries


def _override(node: Node, axes: Mapping[str, Axis], vocabulary: Vocabulary) -> Override:
    entries = node.mapping("an override")
    check_keys(entries, ("when", "params"), "key of an override")
    for key in ("when", "params"):
        if key not in entries or not entries[key].mapping(key):
            raise node.place.error(f"an override needs {key!r} with at least one entry")
    params = vocabulary.params(entries["params"].mapping("params"))
    for name, written in params.items():
        axis = name if name in axes else PARTNER.get(name)
        if axis in axes:
            raise written.place.error(
                f"{name} cannot be overridden, {axis} is an axis: use exclude, or give it to a label of optimizer"
            )
    return Override(condition_of(entries["when"].mapping("when"), vocabulary), params, node.place)


def _exclusion(node: Node, vocabulary: Vocabulary) -> Exclusion:
    entries = node.mapping("an entry of exclude")
    if not entries:
        raise node.place.error("an entry of exclude needs at least one condition")
    return Exclusion(condition_of(entries, vocabulary), node.place)
