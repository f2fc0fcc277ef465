"""Reading one parquet file of the store: whole and as it was written, or an error that names it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from xsam.atomic import is_no_file, read_bytes
from xsam.damage import DamagedFile, OnDamage, refuse
from xsam.store.seal import BrokenSeal, unseal

_READERS = 2  # threads: more of them wait longer for each other than they save in waiting for a disk

_Found = TypeVar("_Found")


class Content(NamedTuple):
    """A file's bytes, and the summary in its seal; None for a file that was written without one."""

    data: bytes
    summary: dict[str, Any] | None


def content_of(path: Path) -> Content | None:
    """The file's bytes, checked as far as they can be; None where the file is gone.

    Raises:
        DamagedFile: it cannot be read, or its checksum does not fit.
    """
    try:
        data = read_bytes(path)
    except (FileNotFoundError, NotADirectoryError):
        if path.is_symlink():
            raise DamagedFile(path, "damaged (a link to nothing)") from None
        return None
    except OSError as error:
        if not is_no_file(error):  # a disk that fails for a while says nothing about the file
            raise
        raise DamagedFile(path, f"damaged ({error.strerror})") from None
    try:
        return Content(data, unseal(data))
    except BrokenSeal as error:
        raise DamagedFile(path, f"damaged ({error})") from None


def parquet(
    path: Path, choose: Callable[[pq.FileMetaData], list[str]] | None, content: Content | None = None
) -> pa.Table | None:
    """The columns of the file that ``choose`` names, or all of them; None where the file is gone.

    Args:
        path: the file.
        choose: names columns by the file's metadata; those that it lacks are left out.
        content: of the file, where it was read already.

    Raises:
        DamagedFile: it is no parquet file, or not the one that was written.
    """
    content = content or content_of(path)
    if content is None:
        return None
    try:
        file = pq.ParquetFile(pa.BufferReader(content.data))
        return file.read(columns=None if choose is None else choose(file.metadata), use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise DamagedFile(path, f"damaged ({error})") from None


def singles(folder: Path, on_damage: OnDamage = refuse) -> list[Path]:
    """The files of one run each in a table's folder, sorted; none where there is no folder.

    Where something else is in its place, a file or a loop of links, ``on_damage`` is called.
    """
    try:
        with os.scandir(folder) as entries:
            names = [one.name for one in entries if one.name.endswith(".parquet") and not one.name.startswith(".")]
    except OSError as error:
        if not (isinstance(error, FileNotFoundError) and not folder.is_symlink()):
            if not is_no_file(error) and error.errno not in (errno.ENOTDIR, errno.ENOENT):
                raise
            on_damage(DamagedFile(folder, f"damaged (it is no folder that can be read: {error.strerror})"))
        return []
    return [folder / name for name in sorted(names)]


def with_values(metadata: pq.FileMetaData, wanted: Collection[str]) -> list[str]:
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


def each(
    load: Callable[[Path], _Found | None], paths: Iterable[Path], on_damage: OnDamage = refuse
) -> list[tuple[Path, _Found]]:
    """What ``load`` finds in each file, in the order of ``paths``, without those that are gone, or damaged."""
    listed = list(paths)
    size = max(1, -(-len(listed) // _READERS))

    def one(path: Path) -> _Found | DamagedFile | None:
        try:
            return load(path)
        except DamagedFile as damage:
            return damage

    def share(start: int) -> list[tuple[Path, _Found | DamagedFile | None]]:
        # One task a thread: each task costs, and most files are small.
        return [(path, one(path)) for path in listed[start : start + size]]

    with ThreadPoolExecutor(_READERS) as pool:
        found = [item for part in pool.map(share, range(0, len(listed), size)) for item in part]
    kept: list[tuple[Path, _Found]] = []
    for path, result in found:
        if isinstance(result, DamagedFile):
            on_damage(result)
        elif result is not None:
            kept.append((path, result))
    return kept
