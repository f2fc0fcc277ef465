"""How runs ended: what is asked most often of a grid, for one run or for all of them, without reading whole rows.

Of ten thousand single files the slow part is to open them, so what they said is kept in one small index, by the
identity of the file that said it. A file that the index does not know in exactly this version is read again; an index
that does not fit, or is gone, costs time and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa

from xsam.atomic import is_no_file, read_bytes, write_bytes
from xsam.damage import DamagedFile, OnDamage, refuse
from xsam.store.files import content_of, each, parquet, singles
from xsam.store.layout import GridFolder
from xsam.store.schema import STATUSES, arrow_schema

_NEEDED = ("run_id", "status", "finished_at", "attempts", "error")
_LATER = ("launch", "deaths", "epoch_rows", "sharpness_rows")  # which older files lack
_WORTH_KEEPING = 100  # files that were read: fewer are read faster than an index is written


_Found = TypeVar("_Found")


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


class Stored(NamedTuple):
    """A run's end, and how many rows of its other tables were written before it (None: an older row).

    ``single`` tells that the row has a file of its own.
    """

    end: Finished
    epochs: int | None
    sharpness: int | None
    single: bool


def finished(folder: GridFolder, run_id: str, on_damage: OnDamage = refuse) -> Finished | None:
    """How the run ended, ``None`` where it has no row.

    Reads the run's own file and, once for each version of it, the compacted one.

    Args:
        folder: the grid's folder.
        run_id: the run.
        on_damage: called with each :class:`~xsam.damage.DamagedFile`, which then counts as not there; raises it
            by default.

    Example:
        >>> finished(GridFolder(Path("results"), "quickstart"), "0123456789abcdef") is None
        True
    """
    summary = _or_none(_single, folder.run_file(run_id), on_damage)
    if summary is not None:
        return _stored(summary, single=True).end
    stored = _compacted(folder, on_damage).get(run_id)
    return None if stored is None else stored.end


def finished_runs(folder: GridFolder, on_damage: OnDamage = refuse, keep_index: bool = True) -> dict[str, Finished]:
    """Run id → how it ended, of every run of the grid that has a row, sorted by run id (see :func:`stored_runs`)."""
    return {run_id: stored.end for run_id, stored in stored_runs(folder, on_damage, keep_index).items()}


def stored_runs(folder: GridFolder, on_damage: OnDamage = refuse, keep_index: bool = True) -> dict[str, Stored]:
    """Run id → what is known of its row, sorted by run id, from one look at the folder.

    Args:
        folder: the grid's folder.
        on_damage: as in :func:`finished`.
        keep_index: write the index anew where many files were not in it.
    """
    versions = _versions(folder.singles("runs"), on_damage)
    index = _read_index(folder)
    indexed = ((path, version, index.get(path.stem)) for path, version in versions.items())
    known = {path: entry[1] for path, version, entry in indexed if entry is not None and entry[0] == version}
    read = dict(each(_single, (path for path in versions if path not in known), on_damage))
    if keep_index and len(read) >= _WORTH_KEEPING:
        _write_index(folder, {path.stem: (versions[path], one) for path, one in (known | read).items()})
    stored = {summary["run_id"]: _stored(summary, single=True) for summary in (*known.values(), *read.values())}
    return dict(sorted({**_compacted(folder, on_damage), **stored}.items()))


def identity(path: Path) -> tuple[int, ...]:
    """What tells one version of an atomically replaced file from the next."""
    return _version(os.stat(path))


def _version(stat: os.stat_result) -> tuple[int, ...]:
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _versions(folder: Path, on_damage: OnDamage) -> dict[Path, tuple[int, ...]]:
    """Every parquet file in ``folder`` and its version, sorted by name."""
    found = {}
    for path in singles(folder, on_damage):
        with suppress(FileNotFoundError):
            found[path] = _version(path.lstat() if path.is_symlink() else path.stat())
    return found


def _single(path: Path) -> dict[str, Any] | None:
    """The summary of a run's own file, which holds one row of this run."""
    content = content_of(path)
    if content is None:
        return None
    row = (content.summary or {}).get("row")
    if row is not None:
        summary = {name: row.get(name) for name in (*_NEEDED, *_LATER)}
    else:
        rows = _parsed(path)
        if rows is None:
            return None
        if len(rows) != 1:
            raise DamagedFile(path, f"damaged (it holds {len(rows)} rows, not that of one run)")
        (summary,) = rows
    if summary["run_id"] != path.stem:
        raise DamagedFile(path, f"damaged (it holds the run {summary['run_id']})")
    return summary


def _compacted(folder: GridFolder, on_damage: OnDamage) -> Mapping[str, Stored]:
    return _or_none(_read_compacted, folder.compacted("runs"), on_damage) or {}


def _read_compacted(path: Path) -> Mapping[str, Stored]:
    if not os.path.lexists(path):
        return {}
    try:
        version = identity(path)
    except FileNotFoundError:
        content_of(path)  # says what is wrong with a link to nothing
        return {}
    except OSError as error:
        if not is_no_file(error):
            raise
        raise DamagedFile(path, f"damaged ({error.strerror})") from None
    return _cached(path, version)


@lru_cache(maxsize=64)
def _cached(path: Path, _identity: tuple[int, ...]) -> dict[str, Stored]:
    return {row["run_id"]: _stored(row, single=False) for row in _parsed(path) or ()}


def _parsed(path: Path) -> list[dict[str, Any]] | None:
    """The summaries of a file's rows, from columns that files of every version have."""
    table = parquet(path, lambda _: [*_NEEDED, *_LATER])
    if table is None:
        return None
    schema = arrow_schema("runs")
    columns: dict[str, list[Any]] = {}
    for name in (*_NEEDED, *_LATER):
        if name not in table.column_names:
            if name in _NEEDED:
                raise DamagedFile(path, f"not a table of runs: it lacks the column {name}")
            columns[name] = [None] * table.num_rows
            continue
        try:
            columns[name] = table.column(name).cast(schema.field(name).type).to_pylist()
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise DamagedFile(path, f"column {name} does not fit {schema.field(name).type}: {error}") from None
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    for row in rows:
        if row["run_id"] is None or row["status"] not in STATUSES or row["finished_at"] is None:
            raise DamagedFile(path, "not a table of runs: a row lacks its run, its status or its time")
        row["finished_at"] = row["finished_at"].isoformat()
    return rows


def _stored(summary: Mapping[str, Any], single: bool) -> Stored:
    moment = datetime.fromisoformat(summary["finished_at"])
    told = (summary[name] for name in ("error", "launch", "deaths"))
    end = Finished(summary["status"], moment, summary["attempts"] or 0, *told)
    return Stored(end, summary["epoch_rows"], summary["sharpness_rows"], single)


def _or_none(load: Callable[[Path], _Found | None], path: Path, on_damage: OnDamage) -> _Found | None:
    try:
        return load(path)
    except DamagedFile as damage:
        on_damage(damage)
        return None


def _index_file(folder: GridFolder) -> Path:
    return folder.states / ".ends.json"


def _read_index(folder: GridFolder) -> dict[str, tuple[tuple[int, ...], dict[str, Any]]]:
    """Run id → version of its file, and the summary; empty where there is none, or another version wrote it."""
    try:
        stated, _, text = read_bytes(_index_file(folder)).partition(b"\n")
        if stated != _digest(text):
            return {}
        content = json.loads(text)
        if content["columns"] != [*_NEEDED, *_LATER]:
            return {}
    except (OSError, ValueError, KeyError):
        return {}
    return {
        run_id: (tuple(version), dict(zip(content["columns"], values, strict=True)))
        for run_id, (version, values) in content["runs"].items()
    }


def _write_index(folder: GridFolder, entries: Mapping[str, tuple[tuple[int, ...], Mapping[str, Any]]]) -> None:
    names = [*_NEEDED, *_LATER]
    runs = {run_id: (version, [summary[name] for name in names]) for run_id, (version, summary) in entries.items()}
    text = json.dumps({"columns": names, "runs": runs}).encode()
    if folder.states.is_dir():
        with suppress(OSError):  # somebody else's results, or no space: the next look reads the files again
            write_bytes(_index_file(folder), _digest(text) + b"\n" + text, durable=False)


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest().encode()
