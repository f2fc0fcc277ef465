"""The tables that a grid asks for: rows, columns, metric, selection rule, and what they compare."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from xsam.grid.compare import declared_of
from xsam.grid.grid import SHOWN, TABLE, ReportSpec
from xsam.grid.names import FIGURES, is_table_name
from xsam.grid.shared import shared_of
from xsam.grid.source import Node, check_keys
from xsam.grid.spec import RunSpec
from xsam.metrics import RULES, find, known, shown
from xsam.parameters import Value, nearest
from xsam.tasks import Task

Axes = Mapping[str, tuple[Value, ...]]
KEYS = (
    *("name", "rows", "columns", "metric", "rule", "baseline", "where", "show", "compare"),
    *("shared", "names", "caption", "label", "precision"),
)
_LABEL = re.compile(r"[A-Za-z0-9:._-]{1,99}")


def reports_of(
    node: Node, task: Task[Any], names: Sequence[str], axes: Axes, runs: Sequence[RunSpec], whole: bool = True
) -> tuple[ReportSpec, ...]:
    """The tables that ``node`` asks for: one where it is a mapping, each where it is a list of named ones.

    ``whole`` is whether the grid is as its file says, and not changed by ``--set``.
    """
    if not isinstance(node.value, tuple):
        return (report_of(node, task, names, axes, runs, whole),)
    if not node.value:
        raise node.place.error("the list of tables is empty: leave out report for the usual one")
    reports = [report_of(item, task, names, axes, runs, whole) for item in node.value]
    for place, (item, report) in enumerate(zip(node.value, reports, strict=True)):
        if report.name in [other.name for other in reports[:place]]:
            raise item.place.error(f"two tables are called {report.name!r}: give each its own name")
    return tuple(reports)


def report_of(
    node: Node, task: Task[Any], names: Sequence[str], axes: Axes, runs: Sequence[RunSpec], whole: bool = True
) -> ReportSpec:
    """The report spec that ``node`` asks for, over the axes called ``names`` that are still in ``axes``.

    Where rows or columns are absent, the task's axes (``model``, ``dataset``) are rows and those of the optimizer
    (``optimizer``, ``ascent_steps``) columns; where one of the two is given, the other one takes all further axes.
    """
    entries = node.mapping("report")
    check_keys(entries, KEYS, "key of report")
    rows, columns = _rows_and_columns(entries, task, [name for name in names if name != "seed"])
    metrics = shown(task.run_metrics)
    metric = find(metrics, _choice(entries, "metric", task.metric.name, tuple(known(metrics))))
    rule = _choice(entries, "rule", "final", RULES)
    if metric.rules and rule not in metric.rules:
        place = entries["rule"].place if "rule" in entries else node.place
        raise place.error(f"{metric.name} is not stored under the rule {rule}: choose {' or '.join(metric.rules)}")
    where = _where(entries["where"], axes) if "where" in entries else {}
    if rule == "best_val" or metric.chosen_by == "best_val":
        _check_validation(entries["rule"] if rule == "best_val" else entries["metric"], runs)
    for name, values in axes.items():
        if len(where.get(name, values)) > 1 and name not in (*rows, *columns, "seed"):
            raise node.place.error(
                f"the axis {name!r} is neither in rows nor in columns: cells would average over its values"
            )
    labels = [str(label) for label in where.get("optimizer", axes.get("optimizer", ()))]
    rows, columns = (tuple(name for name in chosen if name in axes) for chosen in (rows, columns))
    return ReportSpec(
        rows,
        columns,
        metric.name,
        rule,
        name=_name(entries["name"]) if "name" in entries else TABLE,
        baseline=_choice(entries, "baseline", "", labels),
        where=where,
        show=_show(entries["show"]) if "show" in entries else (),
        compare=declared_of(entries["compare"], axes, where) if "compare" in entries else (),
        shared=shared_of(entries["shared"], axes, runs, whole) if "shared" in entries else (),
        names=_names(entries["names"], axes) if "names" in entries else {},
        caption=_line(entries["caption"], "caption") if "caption" in entries else "",
        label=_latex_label(entries["label"]) if "label" in entries else "",
        precision=_precision(entries["precision"]) if "precision" in entries else None,
    )


def _name(node: Node) -> str:
    name = node.plain()
    if not isinstance(name, str) or not is_table_name(name):
        raise node.place.error(
            f"the name of a table must be small letters, digits, '_' and '-', and not {FIGURES}, not {name!r}"
        )
    return name


def _names(node: Node, axes: Axes) -> dict[str, str]:
    """What a paper calls values of the axes; a number is written as in the matrix."""
    known = [str(value) for values in axes.values() for value in values]
    found: dict[str, str] = {}
    for value, item in node.mapping("names").items():
        if value not in known:
            raise item.place.error(f"names has {value!r}, which is no value of an axis{nearest(value, known)}")
        found[value] = _line(item, "a name")
    return found


def _line(node: Node, what: str) -> str:
    text = node.plain()
    if not isinstance(text, str) or not text.strip() or not text.isprintable():
        raise node.place.error(f"{what} must be a line of text, not {text!r}")
    return text.strip()


def _latex_label(node: Node) -> str:
    text = _line(node, "label")
    if not _LABEL.fullmatch(text):
        raise node.place.error(f"label must be letters, digits and ':', '.', '_', '-', not {text!r}")
    return text


def _precision(node: Node) -> int:
    value = node.plain()
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 6:
        raise node.place.error(f"precision must be a whole number from 0 to 6, not {value!r}")
    return value


def _where(node: Node, axes: Axes) -> dict[str, tuple[Value, ...]]:
    chosen: dict[str, tuple[Value, ...]] = {}
    for axis, item in node.mapping("where").items():
        if axis not in axes:
            raise item.place.error(f"where names {axis!r}, which is not an axis of this grid{nearest(axis, axes)}")
        written = item.value if isinstance(item.value, tuple) else (item,)
        if not written:
            raise item.place.error(f"where: the list of values of {axis!r} is empty")
        wanted = [_value(one) for one in written]
        for one, value in zip(written, wanted, strict=True):
            if value not in axes[axis]:
                near = nearest(str(value), [str(known) for known in axes[axis]])
                raise one.place.error(f"where: no run has the {axis} {one.plain()!r}{near}")
        chosen[axis] = tuple(value for value in axes[axis] if value in wanted)
    return chosen


def _value(node: Node) -> Value:
    value = node.plain()
    return tuple(value) if isinstance(value, list) else value


def _show(node: Node) -> tuple[str, ...]:
    shown = [(item, item.plain()) for item in node.items("show")]
    for item, name in shown:
        if name not in SHOWN:
            raise item.place.error(f"show: unknown {name!r}{nearest(str(name), SHOWN)}")
    return tuple(name for name in SHOWN if name in [given for _, given in shown])


def _rows_and_columns(
    entries: Mapping[str, Node], task: Task[Any], names: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    rows = _axes(entries["rows"], "rows", names) if "rows" in entries else None
    columns = _axes(entries["columns"], "columns", names) if "columns" in entries else None
    if rows is None and columns is None:
        rows = tuple(name for name in names if name in task.config.parameters())
    if rows is None:
        rows = tuple(name for name in names if name not in (columns or ()))
    if columns is None:
        columns = tuple(name for name in names if name not in rows)
    for name in columns:
        if name in rows:
            raise entries["columns"].place.error(f"the axis {name!r} is both in rows and in columns")
    return rows, columns


def _axes(node: Node, what: str, names: Sequence[str]) -> tuple[str, ...]:
    chosen: list[str] = []
    for item in node.items(what):
        name = item.plain()
        if name == "seed":
            raise item.place.error(f"seed cannot be in {what}: a cell of the table is a statistic over seeds")
        if not isinstance(name, str) or name not in names:
            near = nearest(str(name), names)
            raise item.place.error(f"{what} names {name!r}, which is not an axis of this grid{near}")
        if name in chosen:
            raise item.place.error(f"{what} names {name!r} twice")
        chosen.append(name)
    return tuple(chosen)


def _choice(entries: Mapping[str, Node], key: str, default: str, choices: Sequence[str]) -> str:
    if key not in entries:
        return default
    value = entries[key].plain()
    if not isinstance(value, str) or value not in choices:
        raise entries[key].place.error(f"unknown {key} {value!r}{nearest(str(value), choices)}")
    return value


def _check_validation(node: Node, runs: Sequence[RunSpec]) -> None:
    if any(run.params.get("val_fraction") == 0 for run in runs):
        raise node.place.error(f"{node.plain()} needs a validation split: give val_fraction above 0 in params")
