"""Reading rows: single files and compacted ones, of this version or an older one, as one data frame."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from xsam.metrics import Metric
from xsam.parameters import nearest
from xsam.store import layout
from xsam.store.layout import GridFolder
from xsam.store.schema import chosen_metrics, fitted, part_of_schema

_ORDER = {
    "runs": ["grid", "run_id"],
    "epochs": ["grid", "run_id", "epoch"],
    "sharpness": ["grid", "run_id", "epoch", "measure"],
}
_END = ["run_id", "status", "finished_at", "attempts", "error"]
_LATER = ["launch", "deaths"]  # columns that older files lack
_READERS = 2  # threads: more of them wait longer for each other than they save in waiting for a disk

_Found = TypeVar("_Found")


def read(
    results: Path,
    table: str = "runs",
    grids: Iterable[str] | None = None,
    columns: Collection[str] | None = None,
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
        table: ``"runs"``, ``"epochs"`` or ``"sharpness"``.
        grids: grids to read; ``ValueError`` with the nearest name for one that is not there.
        columns: columns to read beside those that every row has; all by default, which takes longer.

    Raises:
        ValueError: a file cannot be read; the message names it. An unknown column.

    Example:
        >>> frame = read(Path("results"))                                # doctest: +SKIP
        >>> frame.groupby("optimizer")["test_accuracy"].mean()           # doctest: +SKIP
    """
    metrics = _asked_for(columns) if table == "runs" else {}
    stored = None if columns is None else {*columns, *_ORDER[table]} - metrics.keys()
    schema = part_of_schema(table, stored)
    values = {name for metric in metrics.values() for name in metric.columns}
    needed = part_of_schema(table, None if stored is None else stored | values).names
    parts = [
        _under_rule(folder, grid_table(folder, table, columns=needed), metrics) for folder in _chosen(results, grids)
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


def _under_rule(folder: GridFolder, rows: pa.Table, metrics: Mapping[str, Metric]) -> pa.Table:
    """``rows`` with each of ``metrics`` under the grid's rule."""
    rule = _rule(folder) if metrics else ""
    for name, metric in metrics.items():
        none = pa.nulls(rows.num_rows, pa.float64())
        rows = rows.append_column(name, rows.column(metric.column(rule)) if rule in metric.rules else none)
    return rows


def _rule(folder: GridFolder) -> str:
    try:
        return str(json.loads(folder.grid_json.read_text(encoding="utf-8"))["report"]["rule"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder.grid_json}: cannot be read ({error}); plan the grid again") from None


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
) -> pa.Table:
    """The rows of one grid, each run once, under the current schema.

    Args:
        folder: the grid's folder.
        table: one of ``TABLES``.
        run_ids: read only these single files (of the compacted file, everything).
        keep_extra: keep columns that are no longer registered, behind the others.
        columns: read only these columns, and those that every row has.
    """
    schema = part_of_schema(table, columns)
    wanted = set(schema.names)

    def load(path: Path) -> pa.Table | None:
        found = _parquet(path, None if keep_extra else partial(_with_values, wanted=wanted))
        try:
            return None if found is None else fitted(found, table, keep_extra, schema)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    paths = sorted(folder.singles(table).glob("*.parquet"))
    # Singles first: one that is compacted and removed meanwhile is then found in the compacted file.
    singles = _map(load, [path for path in paths if run_ids is None or path.stem in run_ids])
    merged = load(folder.compacted(table))
    compacted = [] if merged is None else [_without(merged, singles)]
    rows = pa.concat_tables([schema.empty_table(), *compacted, *singles], promote_options="default")
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


class Finished(NamedTuple):
    """What a run's stored row says of its end.

    Attributes:
        status: ``"done"``, ``"failed"`` or ``"diverged"``.
        finished_at: when (UTC).
        attempts: how many workers had started it; 0 where the row does not say.
        error: the traceback of a failed run.
        launch: the launch whose worker wrote the row; None in older rows.
        deaths: how many workers died in the run, one after the other, where it was given up for that; else None.
    """

    status: str
    finished_at: datetime
    attempts: int
    error: str | None
    launch: str | None = None
    deaths: int | None = None


def finished(folder: GridFolder, run_id: str) -> Finished | None:
    """How the run ended, ``None`` where it has no row.

    Reads a few columns of the run's own file and, once for each version of it, of the compacted one.

    Example:
        >>> finished(GridFolder(Path("results"), "quickstart"), "0123456789abcdef") is None
        True
    """
    single = _ends(folder.run_file(run_id)) or {}
    return single.get(run_id) or _compacted_ends(folder).get(run_id)


def finished_runs(folder: GridFolder) -> dict[str, Finished]:
    """Run id → how it ended, of every run of the grid that has a row, sorted by run id."""
    singles = _map(_ends, folder.singles("runs").glob("*.parquet"))
    ends = {**_compacted_ends(folder), **{run_id: end for part in singles for run_id, end in part.items()}}
    return dict(sorted(ends.items()))


def _compacted_ends(folder: GridFolder) -> dict[str, Finished]:
    path = folder.compacted("runs")
    return _cached_ends(path, identity(path)) if path.exists() else {}


@lru_cache(maxsize=64)
def _cached_ends(path: Path, _identity: tuple[int, ...]) -> dict[str, Finished]:
    return _ends(path) or {}


def _ends(path: Path) -> dict[str, Finished] | None:
    """Run id → how it ended, from columns that files of every version have; ``None`` where the file is gone."""
    table = _parquet(path, lambda _: [*_END, *_LATER])
    if table is None:
        return None
    for name in _END:
        if name not in table.column_names:
            raise ValueError(f"{path}: not a table of runs: it lacks the column {name}")
    columns = [table.column(name).to_pylist() for name in _END]
    columns += [
        table.column(name).to_pylist() if name in table.column_names else [None] * table.num_rows for name in _LATER
    ]
    return {
        run_id: Finished(status, finished_at, attempts or 0, error, launch, deaths)
        for run_id, status, finished_at, attempts, error, launch, deaths in zip(*columns, strict=True)
    }


def identity(path: Path) -> tuple[int, ...]:
    """What tells one version of an atomically replaced file from the next."""
    stat = os.stat(path)
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


def _parquet(path: Path, choose: Callable[[pq.FileMetaData], list[str]] | None) -> pa.Table | None:
    """The columns of the file that ``choose`` names, or all of them, or ``None`` where the file is gone.

    A damaged file is one ``ValueError`` that names it.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        return file.read(columns=None if choose is None else choose(file.metadata), use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{path}: damaged ({error}); remove it, and the run is done again") from None


def _with_values(metadata: pq.FileMetaData, wanted: Collection[str]) -> list[str]:
    """Those of the ``wanted`` columns of which the file does not say that they hold nothing.

    Reading a column that holds nothing takes as long as any other, and most of a small file's do.
    """
    if not metadata.num_row_groups:
        return list(wanted)
    names: dict[str, None] = {}
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for chunk in map(group.column, range(metadata.num_columns)):
            name, _, inside = chunk.path_in_schema.partition(".")  # inside a list, where an empty one counts as null
            if inside or not chunk.is_stats_set or chunk.statistics.null_count != chunk.num_values:
                names[name] = None
    return [name for name in names if name in wanted]


def _map(load: Callable[[Path], _Found | None], paths: Iterable[Path]) -> list[_Found]:
    """What ``load`` finds in each file, in the order of ``paths``, without the files that are gone."""
    listed = list(paths)
    size = max(1, -(-len(listed) // _READERS))

    def share(start: int) -> list[_Found]:  # one task a thread: each task costs, and most files are small
        return [found for path in listed[start : start + size] if (found := load(path)) is not None]

    with ThreadPoolExecutor(_READERS) as pool:
        return [found for part in pool.map(share, range(0, len(listed), size)) for found in part]
