"""Leases: at most one worker trains a run at a time, and a dead worker's run is free at once.

A run's leases are numbered files in one folder, ``000001.json`` and so on; the highest number is the lease in force.
A worker takes a run over by creating the next number, which the file system lets only one do (a hard link to a finished
file, so no reader ever sees half a lease). Files of earlier holders are never changed by others, so no sequence of
pauses lets two workers believe that they hold the same run: whoever is not the highest number has lost it.

A lease that cannot be read (empty after a power cut, damaged) is nobody's; its number stays taken. Files of other names
are not looked at.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from xsam.atomic import naming, read_text, sync, write_json
from xsam.runner.process import Process
from xsam.store.locks import OTHER_DISK

REFRESH_SECONDS = 10.0
STALE_SECONDS = 60.0  # only where neither the process nor its job can be looked at
_NAME = re.compile(r"([0-9]{6,18})\.json")
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)


class LeaseLost(Exception):
    """Another worker has taken this run over; nothing more may be written for it."""


class LinksImpossible(OSError):
    """The disk has no hard links, by which workers take runs; the message says what to do."""


@dataclass(frozen=True)
class Record:
    """What a lease file says.

    Attributes:
        holder: the process that took the run.
        launch: the launch (one ``xsam-bench run``) that started it.
        deaths: how many workers of this launch died holding this run, one after the other, before this one, without
            moving its checkpoint.
        released: the holder has let go.
        mark: the run's checkpoint as the holder found it (:func:`xsam.runner.order.mark_of`).
        suspect: the run failed in a process that may be to blame, and is to be tried in a fresh one.
    """

    holder: Process
    launch: str
    deaths: int = 0
    released: bool = False
    mark: str = ""
    suspect: bool = False

    @classmethod
    def read(cls, path: Path) -> Record:
        """Read a lease file; ``ValueError`` where it holds no record."""
        data = json.loads(read_text(path))
        if not isinstance(data, dict) or not isinstance(data.get("holder"), dict):
            raise ValueError("no record")
        record = cls(Process(**_typed(Process, _renamed(data["holder"]))), **_typed(cls, data, skip=("holder",)))
        if not record.holder.host or not record.launch:
            raise ValueError("no record")
        return record


def _renamed(holder: dict[str, Any]) -> dict[str, Any]:
    """A holder as it is written now; leases of jobs that began under an older version name SLURM in their fields."""
    if "slurm_job" not in holder:
        return holder
    job = {"job": holder["slurm_job"], "restart": holder.get("slurm_restart", 0)}
    return {**holder, **job, "launcher": "slurm" if holder["slurm_job"] else ""}


def _typed(kind: type[Process | Record], data: dict[str, Any], skip: tuple[str, ...] = ()) -> dict[str, Any]:
    """The entries of ``data`` that are fields of ``kind``; ``ValueError`` for one of another type."""
    types = {"str": str, "int": int, "bool": bool}
    found = {}
    for field in fields(kind):
        if field.name in skip or field.name not in data:
            continue
        value = data[field.name]
        if type(value) is not types[str(field.type)]:
            raise ValueError(f"{field.name} is {value!r}")
        found[field.name] = value
    return found


def current(folder: Path) -> tuple[int, Record | None, bool]:
    """The lease in force: its number (0: never leased), its record, and whether its holder still holds it."""
    number = max(_numbers(folder), default=0)
    if not number:
        return 0, None, False
    path = _path(folder, number)
    try:
        record = Record.read(path)
        refreshed = path.stat().st_mtime
    except FileNotFoundError:  # taken over and cleared away between the look and the read
        return (number, None, False) if path.is_symlink() else current(folder)
    except PermissionError:  # another user's: the heartbeat alone can tell
        return number, None, _now(folder) - path.stat().st_mtime <= STALE_SECONDS
    except (OSError, ValueError, TypeError):
        return number, None, False
    if record.released:
        return number, record, False
    alive = record.holder.alive()
    if alive is None:
        alive = _now(folder) - refreshed <= STALE_SECONDS
    return number, record, alive


class Lease:
    """A lease that this process holds; make one with :meth:`acquire`.

    Attributes:
        suspect: set it before :meth:`release` where the run is to be tried again in a fresh process.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp()) / "lease"
        >>> lease = Lease.acquire(folder, launch="a")
        >>> lease.number, Lease.acquire(folder, launch="b")
        (1, None)
        >>> lease.release()
        >>> Lease.acquire(folder, launch="b").number
        2
    """

    def __init__(self, folder: Path, number: int, record: Record) -> None:
        self.folder = folder
        self.number = number
        self.record = record
        self.suspect = False
        self._ended = threading.Event()
        # Through the open file, not its path: a lease that was taken over must not be refreshed by its former holder.
        self._file = _path(folder, number).open("rb")
        self._heart = threading.Thread(target=self._beat, name="lease", daemon=True)
        try:
            self._heart.start()
        except RuntimeError:  # no further thread: nothing can be trained in this process
            self._write_released()
            raise

    @classmethod
    def acquire(cls, folder: Path, launch: str, mark: str = "") -> Lease | None:
        """Take the run, or return None where a live worker holds it or another was faster.

        Args:
            folder: of the run's leases.
            launch: the launch that takes it.
            mark: the run's checkpoint as it is now; a death counts where it is what the dead holder found.

        Raises:
            LinksImpossible: the disk has no hard links.
        """
        folder.mkdir(parents=True, exist_ok=True)
        number, last, held = current(folder)
        if held:
            return None
        here = Process.current()
        record = Record(here, launch, _deaths(last, here, launch, mark), mark=mark, suspect=bool(last and last.suspect))
        with _temporary(folder, record) as path:
            if not _link(path, _path(folder, number + 1)):
                return None
        sync(folder)
        numbers = _numbers(folder)
        if max(numbers) != number + 1:  # we looked, paused, and came back behind later holders
            return None
        for old in numbers:
            if old < number:  # the one before stays: it keeps its number taken
                with contextlib.suppress(OSError):  # a folder of that name is nobody's
                    _path(folder, old).unlink()
        return cls(folder, number + 1, record)

    def check(self) -> None:
        """Raise :class:`LeaseLost` unless this process still holds the run."""
        if max(_numbers(self.folder), default=0) != self.number:
            raise LeaseLost(f"{self.folder}: taken over by another worker")

    def release(self) -> None:
        """Let go; the number stays taken."""
        self._ended.set()
        self._heart.join()
        self._write_released()

    def _write_released(self) -> None:
        record = replace(self.record, released=True, suspect=self.suspect)
        write_json(_path(self.folder, self.number), asdict(record))

    def _beat(self) -> None:
        with self._file as file:
            while not self._ended.wait(REFRESH_SECONDS):
                with contextlib.suppress(OSError):  # a network disk that is away for a while
                    os.utime(file.fileno())


def died(record: Record | None, launch: str) -> bool:
    """Whether a worker of ``launch`` died holding the lease, which nobody holds any more."""
    return record is not None and not record.released and record.launch == launch


def _deaths(last: Record | None, here: Process, launch: str, mark: str) -> int:
    """Deaths that count against the run: the last holders' of this launch, since the checkpoint moved."""
    if last is None or not died(last, launch) or last.mark != mark:
        return 0
    if last.holder.job_start != here.job_start:  # its launcher ended that one, or lost its node
        return 0
    return last.deaths + 1


def _link(path: Path, target: Path) -> bool:
    """Create ``target`` as ``path``'s file; False where another was faster.

    On a network disk the answer to a link that was made may be lost, and the request, sent again, finds its own work:
    the number of links tells.
    """
    try:
        os.link(path, target)
    except OSError as error:
        if os.stat(path).st_nlink > 1:
            return True
        if isinstance(error, FileExistsError):
            return False
        if error.errno in _NO_LINKS:
            raise LinksImpossible(f"{target.parent}: no hard links ({error.strerror}); {OTHER_DISK}") from None
        raise
    return True


@contextlib.contextmanager
def _temporary(folder: Path, record: Record) -> Iterator[Path]:
    path = folder / f".{uuid.uuid4().hex}"
    try:
        with naming(path):
            path.write_text(json.dumps(asdict(record)), encoding="utf-8")
        sync(path)
        yield path
    finally:
        path.unlink(missing_ok=True)


def _now(folder: Path) -> float:
    """The file system's own time, which on a network disk is not this host's."""
    path = folder / f".{uuid.uuid4().hex}"
    try:
        path.touch()
        return path.stat().st_mtime
    except OSError:  # somebody else's results, or a full disk: looked at only, by this host's clock
        return time.time()
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.json"


def _numbers(folder: Path) -> list[int]:
    try:
        names = set(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = (int(match[1]) for name in names if (match := _NAME.fullmatch(name)))
    return sorted(number for number in found if _path(folder, number).name in names)
