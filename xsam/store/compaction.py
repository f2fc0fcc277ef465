"""Merging a grid's many small files into one a table, without a moment in which a row is in neither."""

from __future__ import annotations

import fcntl
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from xsam.damage import DamagedFile, OnDamage, refuse
from xsam.store.ends import finished_runs, identity
from xsam.store.files import singles
from xsam.store.frames import grid_table
from xsam.store.layout import TABLES, GridFolder
from xsam.store.rows import write_table

_REMOVERS = 8  # threads


def compact(folder: GridFolder, on_damage: OnDamage = refuse) -> int:
    """Merge the files of finished runs into ``runs.parquet``, ``epochs.parquet`` and ``sharpness.parquet``.

    May run while workers train: only runs with a row are merged, and a file that a worker replaced meanwhile stays. May
    be killed at any point and run again: a table's rows are in its compacted file, on the disk, before the first of its
    single files is removed, and readers count a run that is in both once.

    Args:
        folder: the grid's folder.
        on_damage: called with each :class:`~xsam.damage.DamagedFile`, which then stays where it is; a table whose
            compacted file is damaged stays as it was. Raises it by default, before anything of its table is changed.

    Returns:
        The number of runs whose own file was merged (0 when there was nothing to do).

    Raises:
        ValueError: a file cannot be read, or another process is compacting this grid.

    Example:
        >>> compact(GridFolder(Path("results"), "fashion"))              # doctest: +SKIP
        60
    """
    with _alone(folder):
        for leftover in folder.root.glob(".*.parquet.*.tmp"):  # of a compaction that was killed while it wrote
            leftover.unlink(missing_ok=True)
        run_ids = finished_runs(folder, on_damage).keys()
        merged = {table: _merge(folder, table, run_ids, on_damage) for table in TABLES}
    return merged["runs"]


def forget(folder: GridFolder, run_ids: Collection[str], tables: Sequence[str] = ("runs",)) -> None:
    """Take the rows of these runs out of compacted tables; out of that of runs, so that they count as not finished."""
    with _alone(folder):
        for table in tables:
            path = folder.compacted(table)
            if path.exists():
                rows = grid_table(folder, table, (), keep_extra=True)
                lost = pa.array(run_ids, pa.string())
                kept = rows.filter(pc.invert(pc.is_in(rows.column("run_id"), value_set=lost)))
                write_table(path, kept, use_dictionary=True)


def _merge(folder: GridFolder, table: str, run_ids: Collection[str], on_damage: OnDamage) -> int:
    """Merge one table's files of ``run_ids`` and remove those that the compacted file now holds; their number."""
    # The versions before the rows: a file that is replaced between the two is merged in its new form, and stays.
    paths = [path for path in singles(folder.singles(table), on_damage) if path.stem in run_ids]
    versions = {path: _version(path) for path in paths}
    damaged: list[DamagedFile] = []
    if versions:
        rows = grid_table(folder, table, run_ids, keep_extra=True, on_damage=damaged.append)
        for damage in damaged:
            on_damage(damage)
        if any(damage.path == folder.compacted(table) for damage in damaged):
            return 0
        write_table(folder.compacted(table), rows, use_dictionary=True)
    merged = versions.keys() - {damage.path for damage in damaged}

    def remove(path: Path) -> None:
        if versions[path] is not None and _version(path) == versions[path]:
            path.unlink()

    # A disk that is told of every freed block takes its time for each; many at once take it together.
    with ThreadPoolExecutor(min(_REMOVERS, 1 + len(merged) // 100)) as pool:
        list(pool.map(remove, merged))
    return len(merged)


def _version(path: Path) -> object:
    """What tells a file from one that replaced it; None where there is no looking, as at a link to itself."""
    try:
        return identity(path)
    except OSError:
        return None  # reading it says why


@contextmanager
def _alone(folder: GridFolder) -> Iterator[None]:
    """Hold the grid's compaction lock, which the system releases when the process ends in whatever way."""
    with (folder.make_launches() / ".compact.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"{folder.root}: another process is compacting this grid; try again later") from None
        yield
