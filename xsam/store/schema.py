"""The one explicit Arrow schema of each table, and the way of rows and older files into it.

Parameters and metrics have their columns by being registered: adding an optimizer, a task or a parameter adds columns,
and files written before read as null there. ``VERSION`` is raised by hand when a column changes its meaning or type.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from numbers import Integral, Real
from typing import Any

import pyarrow as pa

import xsam.tasks as tasks
from xsam.metrics import Metric, stored_columns
from xsam.parameters import nearest
from xsam.registries import changes, recorded
from xsam.tasks.kinds import parameter_kinds

VERSION = 1


class NewerFormat(ValueError):
    """A file that a newer version of this package wrote: it is not damaged, and stays."""


STATUSES = ("done", "failed", "diverged")

_TEXT, _INTEGER, _REAL, _TIME = pa.string(), pa.int64(), pa.float64(), pa.timestamp("us", tz="UTC")
_LISTS = {"ints": pa.list_(pa.int64()), "names": pa.list_(pa.string())}
_ARROW = {"float": _REAL, "int": _INTEGER, "str": _TEXT, "bool": pa.bool_(), **_LISTS}
_FIXED: Mapping[str, Mapping[str, pa.DataType]] = {
    "runs": {
        **dict.fromkeys(("run_id", "grid", "task", "model", "dataset", "optimizer", "method"), _TEXT),
        **dict.fromkeys(("ascent_steps", "seed"), _INTEGER),
        **dict.fromkeys(("status", "error", "note", "launch"), _TEXT),
        **dict.fromkeys(("attempts", "deaths", "resumed_from_step"), _INTEGER),
        **dict.fromkeys(("started_at", "finished_at"), _TIME),
        **dict.fromkeys(("forwards", "backwards", "skipped_steps"), _INTEGER),
        **dict.fromkeys(("wall_seconds", "train_seconds", "eval_seconds", "search_seconds"), _REAL),
        **dict.fromkeys(("peak_memory_bytes", "parameters", "epoch_rows", "sharpness_rows"), _INTEGER),
        "provenance": _TEXT,
    },
    "epochs": {
        **dict.fromkeys(("run_id", "grid"), _TEXT),
        **dict.fromkeys(("epoch", "step"), _INTEGER),
        **dict.fromkeys(("train_loss", "lr", "alpha"), _REAL),
        **dict.fromkeys(("forwards", "backwards"), _INTEGER),
        **dict.fromkeys(("seconds", "train_seconds", "eval_seconds", "search_seconds"), _REAL),
    },
    "sharpness": {
        **dict.fromkeys(("run_id", "grid", "measure"), _TEXT),
        **dict.fromkeys(("value", "error"), _REAL),
        "epoch": _INTEGER,
        **dict.fromkeys(("forwards", "backwards", "products"), _INTEGER),
        "seconds": _REAL,
        "details": _TEXT,
    },
    "evaluations": {
        **dict.fromkeys(("run_id", "grid", "test_set", "weights", "metric"), _TEXT),
        "value": _REAL,
        "examples": _INTEGER,
        **dict.fromkeys(("signature", "checksum", "details"), _TEXT),
        "evaluated_at": _TIME,
    },
}
_REQUIRED = {
    "runs": ("run_id", "grid", "status", "finished_at"),
    "epochs": ("run_id", "grid", "epoch"),
    "sharpness": ("run_id", "grid", "measure"),
    "evaluations": ("run_id", "grid", "test_set", "weights", "metric"),
}


def arrow_schema(table: str) -> pa.Schema:
    """The schema of ``table`` (one of ``xsam.store.layout.TABLES``) for the registered tasks and optimizers.

    ``runs`` has the fixed columns, then ``param_<name>`` for every parameter of any task, base or method in the order
    of their names, then every task's metrics. ``epochs`` has the fixed columns and every task's epoch metrics.
    ``sharpness`` is long: ``measure``, its ``value`` and standard ``error``, the ``epoch``, ``details`` in JSON;
    what a measurement cost is in its first row (``products``: of the Hessian with a vector). ``evaluations``
    is long too: a ``metric`` of some of the run's ``weights`` on a ``test_set``, whose content the ``checksum`` tells.

    Example:
        >>> arrow_schema("runs").names[:3], arrow_schema("runs").field("param_rho").type
        (['run_id', 'grid', 'task'], DataType(double))
    """
    if table not in _FIXED:
        raise ValueError(f"unknown table {table!r}{nearest(table, _FIXED)}")
    return _schema(table, changes())


@lru_cache
def _schema(table: str, changes: int) -> pa.Schema:
    """See :func:`arrow_schema`; plug-ins make ``changes`` to what is registered."""
    columns = {**_FIXED[table], **(_parameter_columns() if table == "runs" else {}), **_metric_columns(table)}
    fields = [pa.field(name, kind, nullable=name not in _REQUIRED[table]) for name, kind in columns.items()]
    return pa.schema(fields, metadata={"xsam_table": table, "xsam_version": str(VERSION)})


def _parameter_columns() -> dict[str, pa.DataType]:
    kinds = {**recorded.parameters, **parameter_kinds()}
    return {f"param_{name}": _ARROW[kinds[name]] for name in sorted(kinds)}


def _metric_columns(table: str) -> dict[str, pa.DataType]:
    registered = [tasks.get_task(name) for name in tasks.TASKS]
    names = {
        "runs": [name for task in registered for name in stored_columns(task.run_metrics)],
        "epochs": [metric.name for task in registered for metric in task.epoch_metrics],
        "sharpness": [],
        "evaluations": [],
    }[table]
    texts = {metric.signature for task in registered for metric in task.run_metrics if metric.has_signature}
    taken = sorted(set(names) & set(_FIXED[table]))
    if taken:
        raise ValueError(f"metric {taken[0]!r} has the name of a column of the table {table}; rename it")
    return {name: _TEXT if name in texts else _REAL for name in names}


def metric_columns() -> list[str]:
    """The columns of ``runs`` that hold what the registered tasks measure.

    >>> "test_accuracy_final" in metric_columns()
    True
    """
    return list(_metric_columns("runs"))


def chosen_metrics() -> dict[str, Metric]:
    """Name → metric, of the registered tasks' metrics that a grid's selection rule chooses."""
    metrics = [metric for name in tasks.TASKS for metric in tasks.get_task(name).run_metrics]
    return {metric.name: metric for metric in metrics if metric.rules}


def to_table(table: str, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """``rows`` (column → value) under ``table``'s schema: missing values and NaN become null.

    Raises:
        ValueError: an unknown column, a required column without a value, or a value of another type.
    """
    schema = arrow_schema(table)
    unknown = sorted({name for row in rows for name in row} - set(schema.names))
    if unknown:
        raise ValueError(f"unknown column {unknown[0]!r} of table {table}{nearest(unknown[0], schema.names)}")
    return pa.Table.from_arrays([_array(table, field, rows) for field in schema], schema=schema)


def _array(table: str, field: pa.Field, rows: Sequence[Mapping[str, Any]]) -> pa.Array:
    values = [row.get(field.name) for row in rows]
    values = [None if isinstance(value, Real) and value != value else value for value in values]
    for value in values:
        if value is None and not field.nullable:
            raise ValueError(f"table {table}: column {field.name} needs a value in every row")
        if field.name == "status" and value not in STATUSES:
            raise ValueError(f"unknown status {value!r}; valid: {', '.join(STATUSES)}")
        if value is not None and not _fits(value, field.type):
            raise ValueError(f"table {table}: column {field.name} is {field.type}, not {value!r}")
    try:
        return pa.array(values, type=field.type)
    except (pa.ArrowInvalid, OverflowError) as error:
        raise ValueError(f"table {table}: column {field.name} is {field.type}: {error}") from None


def _fits(value: Any, kind: pa.DataType) -> bool:
    """Whether a column takes ``value``; Arrow alone would cut 1.5 to 1, and take True for 1.0, a local time for UTC."""
    if pa.types.is_list(kind):
        return isinstance(value, list | tuple) and all(_fits(item, kind.value_type) for item in value)
    if kind == _TIME:
        return isinstance(value, datetime) and value.tzinfo is not None
    if kind in (_INTEGER, _REAL):
        return isinstance(value, Integral if kind == _INTEGER else Real) and not isinstance(value, bool)
    return isinstance(value, str if kind == _TEXT else bool)


def summary_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of ``runs`` as the seal of its file has it, in JSON values: read in a tenth of the time of the parquet."""
    values = {name: _plain(value) for name, value in row.items() if value is not None}
    return {"version": VERSION, "row": {name: value for name, value in values.items() if value is not None}}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bool | str):
        return value
    if isinstance(value, Integral):
        return int(value)
    number = float(value)
    return None if number != number else number  # NaN is null


def of_summaries(summaries: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """The rows that :func:`summary_of` wrote down, under ``schema``, a part of that of ``runs``."""
    rows = [summary["row"] for summary in summaries]
    columns = []
    for field in schema:
        values = [row.get(field.name) for row in rows]
        if field.type == _TIME:
            values = [None if value is None else datetime.fromisoformat(value) for value in values]
        columns.append(pa.array(values, type=field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def part_of_schema(table: str, columns: Collection[str] | None = None) -> pa.Schema:
    """The fields of ``table``'s schema that are in ``columns``, and those that every row has; all by default.

    Example:
        >>> part_of_schema("epochs", ["alpha"]).names
        ['run_id', 'grid', 'epoch', 'alpha']
    """
    schema = arrow_schema(table)
    if columns is None:
        return schema
    unknown = sorted(set(columns) - set(schema.names))
    if unknown:
        raise ValueError(f"unknown column {unknown[0]!r} of table {table}{nearest(unknown[0], schema.names)}")
    return pa.schema([field for field in schema if field.name in columns or not field.nullable], schema.metadata)


def fitted(found: pa.Table, table: str, keep_extra: bool = False, schema: pa.Schema | None = None) -> pa.Table:
    """A table that was read from a file, with the types of the current schema, or of ``schema``, a part of it.

    Columns that the file lacks stay away: joined with others they are null. Columns of parameters or metrics that are
    no longer registered are dropped, or, with ``keep_extra``, kept behind the others.

    Raises:
        ValueError: the file holds another table, was written by a newer version, or a column is missing that every row
            has, or does not fit its type.
    """
    schema = arrow_schema(table) if schema is None else schema
    metadata = found.schema.metadata or {}
    if metadata.get(b"xsam_table") != table.encode():
        raise ValueError(f"not a table of {table} written by xsam-bench")
    version = int(metadata.get(b"xsam_version", b"0"))
    if version > VERSION:
        raise NewerFormat(f"written in format {version} by a newer xsam-bench; this one reads up to {VERSION}")
    target = _target(schema, tuple(found.column_names))
    if keep_extra:
        extra = [field for field in found.schema if field.name not in schema.names]
        target = pa.schema([*target, *extra], target.metadata)
    if target.names != found.column_names:
        found = found.select(target.names)
    if all(column.type == field.type for column, field in zip(found.columns, target, strict=True)):
        return found  # a new table of many columns takes as long as reading them
    return pa.Table.from_arrays([_cast(*each) for each in zip(found.columns, target, strict=True)], schema=target)


@lru_cache(maxsize=256)  # runs of one method and task have the same columns
def _target(schema: pa.Schema, names: tuple[str, ...]) -> pa.Schema:
    """The part of ``schema`` with these names, without those that it lacks."""
    for field in schema:
        if field.name not in names and not field.nullable:
            raise ValueError(f"it lacks the column {field.name}")
    return pa.schema([field for field in schema if field.name in names], metadata=schema.metadata)


def _cast(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    if column.type == field.type:  # casting a column to its own type takes longer than reading it
        return column
    try:
        return column.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValueError(f"column {field.name} does not fit {field.type}: {error}") from None
