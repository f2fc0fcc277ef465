"""Merging a grid's many small files into one a table, without a moment in which a row is in neither."""

from __future__ import annotations

import fcntl
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from xsam.store.frames import finished_runs, grid_table, identity
from xsam.store.layout import TABLES, GridFolder
from xsam.store.rows import write_table


def compact(folder: GridFolder) -> int:
    """Merge the files of finished runs into ``runs.parquet``, ``epochs.parquet`` and ``sharpness.parquet``.

    May run while workers train: only runs with a row are merged, and a file that a worker replaced meanwhile stays. May
    be killed at any point and run again: a table's rows are in its compacted file, on the disk, before the first of its
    single files is removed, and readers count a run that is in both once.

    Returns:
        The number of runs whose own file was merged (0 when there was nothing to do).

    Raises:
        ValueError: a file cannot be read (its table then stays as it was), or another process is compacting this grid.

    Example:
        >>> compact(GridFolder(Path("results"), "fashion"))              # doctest: +SKIP
        60
    """
    with _alone(folder):
        for leftover in folder.root.glob(".*.parquet.*.tmp"):  # of a compaction that was killed while it wrote
            leftover.unlink(missing_ok=True)
        run_ids = finished_runs(folder).keys()
        merged = {table: _merge(folder, table, run_ids) for table in TABLES}
    return merged["runs"]


def _merge(folder: GridFolder, table: str, run_ids: Collection[str]) -> int:
    """Merge one table's files of ``run_ids`` and remove those that the compacted file now holds; their number."""
    # The versions before the rows: a file that is replaced between the two is merged in its new form, and stays.
    paths = [path for path in folder.singles(table).glob("*.parquet") if path.stem in run_ids]
    versions = {path: identity(path) for path in paths}
    if versions:
        rows = grid_table(folder, table, run_ids, keep_extra=True)
        write_table(folder.compacted(table), rows, use_dictionary=True)
    for path, version in versions.items():
        if identity(path) == version:
            path.unlink()
    return len(paths)


@contextmanager
def _alone(folder: GridFolder) -> Iterator[None]:
    """Hold the grid's compaction lock, which the system releases when the process ends in whatever way."""
    with (folder.make_launches() / ".compact.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"{folder.root}: another process is compacting this grid; try again later") from None
        yield
