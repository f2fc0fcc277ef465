"""Adding the finished runs of one grid's folder to another's."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from xsam.damage import OnDamage, refuse
from xsam.store.ends import stored_runs
from xsam.store.frames import grid_table
from xsam.store.layout import TABLES, GridFolder
from xsam.store.rows import write_table
from xsam.store.schema import metric_columns, summary_of


@dataclass(frozen=True)
class Merged:
    """Run ids: of what was added, of what both have alike, and of what both have with different numbers."""

    added: frozenset[str]
    same: frozenset[str]
    different: frozenset[str]


def merge(source: GridFolder, target: GridFolder, on_damage: OnDamage = refuse) -> Merged:
    """Write the rows of ``source`` that ``target`` lacks as single files of ``target``; ``source`` is only read.

    A run's other tables come before its row, so a merge that is killed leaves no row without them, and goes on when it
    is done again. Logs and outputs come along, checkpoints do not.
    """
    there = stored_runs(target, on_damage, keep_index=False) if target.has_rows("runs") else {}
    rows = {table: _by_run(grid_table(source, table, keep_extra=True, on_damage=on_damage)) for table in TABLES}
    added = frozenset(rows["runs"]) - frozenset(there)
    for run_id in sorted(added):
        for table in TABLES:
            own = rows[table].get(run_id)
            if table != "runs" and own is not None:
                summary = {"run_id": run_id, "rows": own.num_rows}
                write_table(target.table_file(table, run_id), own, use_dictionary=False, summary=summary)
        _copy_files(source, target, run_id)
        row = rows["runs"][run_id]
        summary = summary_of(row.to_pylist()[0])
        write_table(target.run_file(run_id), row, use_dictionary=False, summary=summary)
    both = frozenset(rows["runs"]) & frozenset(there)
    theirs = _by_run(grid_table(target, "runs", keep_extra=True, on_damage=on_damage)) if both else {}
    different = frozenset(
        run_id for run_id in both if run_id in theirs and _numbers(theirs[run_id]) != _numbers(rows["runs"][run_id])
    )
    return Merged(added, both - different, different)


def _by_run(table: pa.Table) -> Mapping[str, pa.Table]:
    places: dict[str, list[int]] = {}
    for place, run_id in enumerate(table.column("run_id").to_pylist()):
        places.setdefault(run_id, []).append(place)
    return {run_id: table.take(chosen) for run_id, chosen in places.items()}


def _numbers(row: pa.Table) -> dict[str, Any]:
    """Status and metrics of a run, which two trainings of it have alike or not."""
    names = [name for name in ("status", *metric_columns()) if name in row.column_names]
    return {name: value for name, value in row.select(names).to_pylist()[0].items() if value is not None}


def _copy_files(source: GridFolder, target: GridFolder, run_id: str) -> None:
    log = source.log(run_id)
    if log.is_file():
        target.state(run_id).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(log, target.log(run_id))
    if source.outputs(run_id).is_dir():
        shutil.copytree(source.outputs(run_id), target.outputs(run_id), dirs_exist_ok=True)
