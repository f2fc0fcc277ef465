"""What of a grid's stored runs is damaged or lost, and how those runs come to be done again.

A run's row is written last, and says how many rows of the other tables went before it. Where these are gone, or their
file is damaged, the run is not done: its curve would be silently missing. Nothing is deleted: damaged files, and rows
whose other tables are lost, are set aside in the grid's folder ``damaged``.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from xsam.atomic import sync
from xsam.damage import DamagedFile, OnDamage
from xsam.store.ends import Stored, stored_runs
from xsam.store.files import content_of, each, parquet, singles
from xsam.store.layout import TABLES, GridFolder

if TYPE_CHECKING:
    import pandas as pd

_COUNTED = ("epochs", "sharpness")  # a run's row says how many rows of theirs were written with it
_LATER = ("evaluations",)  # written when the run was done: one that is damaged costs no training


@dataclass(frozen=True)
class Damage:
    """What is wrong with a grid's stored runs.

    Attributes:
        files: the damaged files, and those that are lost.
        lost: runs with a row, but without the rows of another table that were written with it.
    """

    files: tuple[DamagedFile, ...]
    lost: tuple[str, ...]


def examine(folder: GridFolder) -> Damage:
    """Look at every file of a grid's tables, whole; changes nothing."""
    files: list[DamagedFile] = [*_no_folders(folder)]
    stored = stored_runs(folder, files.append)
    lost: dict[str, None] = {}
    for table in _LATER:
        _counts(folder, table, files.append)
    for table in _COUNTED:
        counts = _counts(folder, table, files.append)
        for damage in _lost(folder, table, stored, counts):
            lost[damage.path.stem] = None
            if not any(damage.path == known.path for known in files):
                files.append(damage)
    return Damage(tuple(files), tuple(lost))


def repair(folder: GridFolder) -> Damage:
    """Set aside what :func:`examine` finds, so that those runs count as not finished; returns what it was.

    A file that a worker replaces meanwhile stays.
    """
    damage = examine(folder)
    for file in damage.files:
        set_aside(folder, file.path)
    for run_id in damage.lost:
        set_aside(folder, folder.run_file(run_id))
    compacted = [run_id for run_id in damage.lost if not folder.run_file(run_id).exists()]
    if compacted and folder.compacted("runs").exists():
        from xsam.store.compaction import forget  # as pandas below, nothing for workers, who only set files aside

        forget(folder, compacted)
    return damage


def set_aside(folder: GridFolder, path: Path) -> Path | None:
    """Move what is at ``path`` into the grid's folder ``damaged``, under a new name; None where nothing is there."""
    parts = path.relative_to(folder.root).parts
    for number in range(1, 10_000):
        place = folder.damaged / f"{'-'.join(parts)}.{number}"
        if os.path.lexists(place):
            continue
        folder.damaged.mkdir(parents=True, exist_ok=True)
        try:
            os.rename(path, place)
        except (FileNotFoundError, NotADirectoryError):
            return None
        sync(folder.damaged)
        return place
    raise FileExistsError(f"{folder.damaged}: holds too many damaged files; remove what is not needed")


def clear(folder: GridFolder, paths: Iterable[Path]) -> None:
    """Set aside what is at one of the ``paths`` but is no file that this process may read and write."""
    for path in paths:
        if os.path.lexists(path) and not (path.is_file() and os.access(path, os.R_OK | os.W_OK)):
            set_aside(folder, path)


def tell_lost(folder: GridFolder, runs: pd.DataFrame, others: Mapping[str, pd.DataFrame], on_damage: OnDamage) -> None:
    """Call ``on_damage`` for each run of ``runs`` with fewer rows in ``others`` (table → frame) than were written."""
    import pandas as pd

    for table, frame in others.items():
        counts = frame["run_id"].value_counts()
        for run_id, expected in zip(runs["run_id"], runs[_column(table)], strict=True):
            found = int(counts.get(run_id, 0))
            if not pd.isna(expected) and found < int(expected):
                on_damage(_missing(folder, table, str(run_id), int(expected), found))


def _lost(
    folder: GridFolder, table: str, stored: Mapping[str, Stored], counts: Mapping[str, int]
) -> Iterator[DamagedFile]:
    for run_id, one in stored.items():
        expected = one.epochs if table == "epochs" else one.sharpness
        if expected and counts.get(run_id, 0) < expected:
            yield _missing(folder, table, run_id, expected, counts.get(run_id, 0))


def _missing(folder: GridFolder, table: str, run_id: str, expected: int, found: int) -> DamagedFile:
    return DamagedFile(folder.table_file(table, run_id), f"lost ({found} of its {expected} rows are stored)")


def _column(table: str) -> str:
    return {"epochs": "epoch_rows", "sharpness": "sharpness_rows"}[table]


def _counts(folder: GridFolder, table: str, on_damage: OnDamage) -> dict[str, int]:
    """Run id → its rows in ``table``."""
    merged = each(_rows_of, [folder.compacted(table)], on_damage)
    own = each(_single_rows, singles(folder.singles(table), on_damage), on_damage)
    return {**dict(Counter(run_id for _, ids in merged for run_id in ids)), **{path.stem: n for path, n in own}}


def _single_rows(path: Path) -> int | None:
    content = content_of(path)
    if content is None:
        return None
    if content.summary is not None and content.summary.get("run_id") == path.stem:
        return int(content.summary["rows"])
    ids = _rows_of(path)
    if ids is not None and set(ids) - {path.stem}:
        raise DamagedFile(path, "damaged (it holds rows of another run)")
    return None if ids is None else len(ids)


def _rows_of(path: Path) -> list[str] | None:
    table = parquet(path, lambda _: ["run_id"])
    if table is None:
        return None
    if "run_id" not in table.column_names:
        raise DamagedFile(path, "no table of this store: it lacks the column run_id")
    ids: list[str] = table.column("run_id").to_pylist()
    return ids


def _no_folders(folder: GridFolder) -> Iterator[DamagedFile]:
    """Files where folders should be."""
    needed = [*map(folder.singles, TABLES), folder.states, folder.launches, folder.root / "outputs"]
    if folder.states.is_dir():
        with os.scandir(folder.states) as entries:
            needed += [folder.state(entry.name) for entry in entries if not entry.is_dir() and entry.name[0] != "."]
    for path in needed:
        if os.path.lexists(path) and not path.is_dir():
            yield DamagedFile(path, "damaged (it is no folder)")
