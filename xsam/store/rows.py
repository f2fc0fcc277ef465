"""Writing rows: one file a run and table, under the table's schema, atomically."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from xsam.atomic import write_bytes
from xsam.store.layout import GridFolder
from xsam.store.schema import summary_of, to_table
from xsam.store.seal import seal


def write_run(folder: GridFolder, row: Mapping[str, Any]) -> Path:
    """Write the row of one finished run, in place of an earlier one; returns the file.

    Args:
        folder: the run's grid; it fills the column ``grid``.
        row: column → value, by the schema of ``runs``; ``run_id``, ``status`` and ``finished_at`` are needed, other
            missing columns and NaN become null. Times carry their zone.

    Raises:
        ValueError: an unknown column, a value of another type, or another grid's row.

    Example:
        >>> import tempfile, datetime
        >>> folder = GridFolder(Path(tempfile.mkdtemp()), "quickstart")
        >>> row = {"run_id": "0123456789abcdef", "status": "done", "finished_at": datetime.datetime.now(datetime.UTC)}
        >>> write_run(folder, row).name
        '0123456789abcdef.parquet'
    """
    complete = _complete(row, grid=folder.name)
    table = to_table("runs", [complete])
    summary = summary_of(complete)
    return write_table(folder.run_file(row["run_id"]), table, use_dictionary=False, summary=summary)


def write_epochs(folder: GridFolder, run_id: str, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write a run's epochs, in place of earlier ones (``epoch`` is needed); write them before the run's own row."""
    return _write_rows(folder, "epochs", run_id, rows)


def write_sharpness(folder: GridFolder, run_id: str, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write a run's measurements of sharpness, in place of earlier ones (``measure`` is needed)."""
    return _write_rows(folder, "sharpness", run_id, rows)


def write_evaluations(folder: GridFolder, run_id: str, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write a run's evaluations on test sets, in place of earlier ones; see the table's schema for what is needed."""
    return _write_rows(folder, "evaluations", run_id, rows)


def _write_rows(folder: GridFolder, table: str, run_id: str, rows: Sequence[Mapping[str, Any]]) -> Path:
    complete = [_complete(row, run_id=run_id, grid=folder.name) for row in rows]
    summary = {"run_id": run_id, "rows": len(complete)}
    return write_table(
        folder.table_file(table, run_id), to_table(table, complete), use_dictionary=False, summary=summary
    )


def _complete(row: Mapping[str, Any], **place: str) -> dict[str, Any]:
    for name, value in place.items():
        if row.get(name, value) != value:
            raise ValueError(f"a row with {name} {row[name]!r} does not belong to {name} {value!r}")
    return {**row, **place}


def write_table(path: Path, table: pa.Table, *, use_dictionary: bool, summary: Mapping[str, Any] | None = None) -> Path:
    """Write ``table`` to ``path`` as sealed parquet (:mod:`xsam.store.seal`), atomically; returns ``path``.

    Args:
        path: the file, which may be there.
        table: under one of the schemas.
        use_dictionary: store equal values once, which repays itself over many runs.
        summary: what the seal says of the content; by default the number of rows.
    """
    buffer = BytesIO()
    # The one statistic that readers use: that a column holds nothing. Most parameters are of other tasks and methods.
    columns = zip(table.column_names, table.columns, strict=True)
    empty = [name for name, values in columns if values.null_count == table.num_rows]
    compression = "zstd" if table.num_rows > 1 else "none"  # a single value does not get shorter
    pq.write_table(table, buffer, compression=compression, use_dictionary=use_dictionary, write_statistics=empty)
    write_bytes(path, seal(buffer.getvalue(), {"rows": table.num_rows} if summary is None else summary))
    return path
