"""Reading rows: single files and compacted ones, of this version or an older one, as one data frame."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from xsam.atomic import read_text
from xsam.damage import DamagedFile, OnDamage, refuse
from xsam.grid.grid import recall
from xsam.metrics import Metric
from xsam.parameters import nearest
from xsam.store import layout
from xsam.store.files import Content, content_of, each, parquet, singles, with_values
from xsam.store.layout import GridFolder
from xsam.store.schema import VERSION, NewerFormat, arrow_schema, chosen_metrics, fitted, of_summaries, part_of_schema

_ORDER = {
    "runs": ["grid", "run_id"],
    "epochs": ["grid", "run_id", "epoch"],
    "sharpness": ["grid", "run_id", "epoch", "measure"],
    "evaluations": ["grid", "run_id", "test_set", "weights", "metric"],
}
_BATCH = 200  # single files whose columns become one: thousands of short pieces take more memory than their content


def read(
    results: str | Path,
    table: str = "runs",
    grids: Iterable[str] | None = None,
    columns: Collection[str] | None = None,
    on_damage: OnDamage = refuse,
) -> pd.DataFrame:
    """The rows of ``table`` of every grid under ``results``, or of those named in ``grids``.

    In ``runs`` a metric that is stored under several selection rules also has a column of its own name: its value under
    the rule of the grid's (first) table, as ``grid.json`` has it now.

    Takes a grid's single files and its compacted one. Where both hold a run, the single file wins, which is written
    after what was compacted; no clock decides. The column ``grid`` is the folder's name. Columns are those of the
    current schema whatever version wrote the files (null where they lack one), with the same types whether or not there
    are nulls or rows at all: integers ``Int64``, booleans ``boolean``, numbers ``float64`` (NaN for null), times UTC,
    lists as tuples. Rows are sorted by grid and run id.

    Args:
        results: a results folder; ``FileNotFoundError`` where there is none.
        table: ``"runs"``, ``"epochs"``, ``"sharpness"`` or ``"evaluations"``.
        grids: grids to read; ``ValueError`` with the nearest name for one that is not there.
        columns: columns to read beside those that every row has; all by default, which takes longer.
        on_damage: called with each :class:`~xsam.damage.DamagedFile`, whose rows are then left out; raises it by
            default. Where ``grid.json`` is the damaged one, only the metrics under the grid's rule are missing.

    Raises:
        ValueError: a file cannot be read; the message names it. An unknown column.

    Example:
        >>> frame = read("results")                                      # doctest: +SKIP
        >>> place = ["grid", "model", "dataset", "optimizer", "ascent_steps"]
        >>> frame.groupby(place, dropna=False)["test_accuracy"].mean()   # doctest: +SKIP
    """
    chosen = _chosen(Path(results), grids)
    for folder in chosen:
        _recall(folder)
    metrics = _asked_for(columns) if table == "runs" else {}
    stored = None if columns is None else {*columns, *_ORDER[table]} - metrics.keys()
    schema = part_of_schema(table, stored)
    values = {name for metric in metrics.values() for name in metric.columns}
    needed = part_of_schema(table, None if stored is None else stored | values).names
    parts = [
        _under_rule(folder, grid_table(folder, table, columns=needed, on_damage=on_damage), metrics, on_damage)
        for folder in chosen
    ]
    whole = pa.schema([*part_of_schema(table, needed), *(pa.field(name, pa.float64()) for name in metrics)])
    rows = pa.concat_tables([whole.empty_table(), *(part.cast(whole) for part in parts)])
    frame: pd.DataFrame = rows.select(_in_order(schema, metrics)).to_pandas(
        types_mapper={pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}.get
    )
    for field in schema:
        if pa.types.is_list(field.type):
            lists = [None if value is None else tuple(value.tolist()) for value in frame[field.name]]
            frame[field.name] = pd.Series(lists, index=frame.index, dtype=object)
    return frame.sort_values(_ORDER[table], kind="stable", ignore_index=True)


def _asked_for(columns: Collection[str] | None) -> dict[str, Metric]:
    known = chosen_metrics()
    return {name: metric for name, metric in known.items() if columns is None or name in columns}


def _under_rule(folder: GridFolder, rows: pa.Table, metrics: Mapping[str, Metric], on_damage: OnDamage) -> pa.Table:
    """``rows`` with each of ``metrics`` under the grid's rule."""
    rule = _rule(folder, on_damage) if metrics else ""
    for name, metric in metrics.items():
        none = pa.nulls(rows.num_rows, pa.float64())
        rows = rows.append_column(name, rows.column(metric.column(rule)) if rule in metric.rules else none)
    return rows


def _rule(folder: GridFolder, on_damage: OnDamage) -> str:
    """The grid's rule; empty where it cannot be told."""
    try:
        return str(json.loads(read_text(folder.grid_json))["report"]["rule"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        on_damage(DamagedFile(folder.grid_json, f"cannot be read ({reason}); plan the grid again"))
        return ""


def _recall(folder: GridFolder) -> None:
    """Learn the columns of the grid's plug-ins, where it has any."""
    try:
        text = read_text(folder.grid_json)
        if '"plugins"' in text:
            recall(json.loads(text))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return  # whoever needs the grid says what is wrong with it


def _in_order(schema: pa.Schema, metrics: Mapping[str, Metric]) -> list[str]:
    """The names in ``schema``, each of ``metrics`` before its first rule."""
    first = {metric.columns[0]: name for name, metric in metrics.items()}
    names = [name for stored in schema.names for name in ((first[stored], stored) if stored in first else (stored,))]
    return [*names, *(name for name in metrics if name not in names)]


def _chosen(results: Path, names: Iterable[str] | None) -> list[GridFolder]:
    if not results.is_dir():
        raise FileNotFoundError(f"{results}: no such results folder")
    found = {folder.name: folder for folder in layout.grids(results)}
    chosen = list(found) if names is None else list(dict.fromkeys(names))
    for name in chosen:
        if name not in found:
            raise ValueError(f"no grid {name!r} in {results}{nearest(name, found)}")
    return [found[name] for name in chosen]


def grid_table(
    folder: GridFolder,
    table: str,
    run_ids: Collection[str] | None = None,
    keep_extra: bool = False,
    columns: Collection[str] | None = None,
    on_damage: OnDamage = refuse,
) -> pa.Table:
    """The rows of one grid, each run once, under the current schema.

    Args:
        folder: the grid's folder.
        table: one of ``TABLES``.
        run_ids: read only these single files (of the compacted file, everything).
        keep_extra: keep columns that are no longer registered, behind the others.
        columns: read only these columns, and those that every row has.
        on_damage: as in :func:`read`.
    """
    schema = part_of_schema(table, columns)
    wanted = set(schema.names)
    known = set(arrow_schema(table).names)

    def load(path: Path, content: Content | None = None) -> pa.Table | None:
        found = parquet(path, None if keep_extra else partial(with_values, wanted=wanted), content)
        try:
            return None if found is None else fitted(found, table, keep_extra, schema)
        except NewerFormat as error:
            raise ValueError(f"{path}: {error}") from None
        except ValueError as error:
            raise DamagedFile(path, str(error)) from None

    def load_single(path: Path) -> pa.Table | Mapping[str, Any] | None:
        content = content_of(path)
        if content is None:
            return None
        if content.summary and "row" in content.summary and table == "runs":
            summary = content.summary
            if summary["version"] == VERSION and (not keep_extra or known.issuperset(summary["row"])):
                if summary["row"]["run_id"] != path.stem:
                    raise DamagedFile(path, "damaged (it holds the row of another run)")
                return summary
        found = load(path, content)
        if found is not None and found.num_rows and found.column("run_id").unique().to_pylist() != [path.stem]:
            raise DamagedFile(path, "damaged (it holds rows of another run)")
        return found

    paths = singles(folder.singles(table), on_damage)
    paths = [path for path in paths if run_ids is None or path.stem in run_ids]
    # Singles first: one that is compacted and removed meanwhile is then found in the compacted file.
    own: list[pa.Table] = []
    for start in range(0, len(paths), _BATCH):
        some = [one for _, one in each(load_single, paths[start : start + _BATCH], on_damage)]
        parts = [one for one in some if isinstance(one, pa.Table)]
        summaries = [one for one in some if not isinstance(one, pa.Table)]
        if summaries:
            parts.append(of_summaries(summaries, schema))
        if parts:
            own.append(pa.concat_tables(parts, promote_options="default").combine_chunks())
    merged = [one for _, one in each(load, [folder.compacted(table)], on_damage)]
    compacted = [_without(one, own) for one in merged]
    rows = pa.concat_tables([schema.empty_table(), *compacted, *own], promote_options="default")
    names = pa.repeat(pa.scalar(folder.name, pa.string()), rows.num_rows)
    position = rows.schema.get_field_index("grid")
    return rows.set_column(position, rows.schema.field(position), names)


def _without(compacted: pa.Table, singles: Sequence[pa.Table]) -> pa.Table:
    """The compacted rows of the runs that have no single file, which is written after what was compacted."""
    if not singles:
        return compacted
    again = pa.concat_arrays(
        [pa.array([], pa.string()), *(one for part in singles for one in part.column("run_id").chunks)]
    )
    return compacted.filter(pc.invert(pc.is_in(compacted.column("run_id"), value_set=again.unique())))
