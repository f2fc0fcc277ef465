"""Leases: at most one worker trains a run at a time, and a dead worker's run is free at once.

A run's leases are numbered files in one folder, ``000001.json`` and so on; the highest number is the lease in force.
A worker takes a run over by creating the next number, which the file system lets only one do (a hard link to a finished
file, so no reader ever sees half a lease). Files of earlier holders are never changed by others, so no sequence of
pauses lets two workers believe that they hold the same run: whoever is not the highest number has lost it.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from xsam.runner.process import Process
from xsam.store.atomic import write_json

REFRESH_SECONDS = 10.0
STALE_SECONDS = 60.0  # only where neither the process nor its SLURM job can be looked at


class LeaseLost(Exception):
    """Another worker has taken this run over; nothing more may be written for it."""


@dataclass(frozen=True)
class Record:
    """What a lease file says.

    Attributes:
        holder: the process that took the run.
        launch: the launch (one ``xsam-bench run``) that started it.
        crashes: how many workers of this launch died holding this run, one after the other, before this one.
        released: the holder has let go.
    """

    holder: Process
    launch: str
    crashes: int
    released: bool

    @classmethod
    def read(cls, path: Path) -> Record:
        data = json.loads(path.read_text(encoding="utf-8"))
        return cls(Process(**data["holder"]), data["launch"], data["crashes"], data["released"])


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
        return current(folder)
    if record.released:
        return number, record, False
    alive = record.holder.alive()
    if alive is None:
        alive = _now(folder) - refreshed <= STALE_SECONDS
    return number, record, alive


class Lease:
    """A lease that this process holds; make one with :meth:`acquire`.

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
        self._ended = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="lease", daemon=True)
        self._heart.start()

    @classmethod
    def acquire(cls, folder: Path, launch: str) -> Lease | None:
        """Take the run, or return None where a live worker holds it or another was faster."""
        folder.mkdir(parents=True, exist_ok=True)
        number, last, held = current(folder)
        if held:
            return None
        here = Process.current()
        crashed = last is not None and not last.released and last.launch == launch
        if last and last.holder.job_start != here.job_start:  # SLURM ended that one, or lost its node
            crashed = False
        record = Record(here, launch, last.crashes + 1 if last and crashed else 0, released=False)
        with _temporary(folder, record) as path:
            try:
                os.link(path, _path(folder, number + 1))
            except FileExistsError:
                return None
        numbers = _numbers(folder)
        if max(numbers) != number + 1:  # we looked, paused, and came back behind later holders
            return None
        for old in numbers:
            if old < number:  # the one before stays: it keeps its number taken
                _path(folder, old).unlink(missing_ok=True)
        return cls(folder, number + 1, record)

    def check(self) -> None:
        """Raise :class:`LeaseLost` unless this process still holds the run."""
        if max(_numbers(self.folder), default=0) != self.number:
            raise LeaseLost(f"{self.folder}: taken over by another worker")

    def release(self) -> None:
        """Let go; the number stays taken."""
        self._ended.set()
        self._heart.join()
        record = Record(self.record.holder, self.record.launch, self.record.crashes, released=True)
        write_json(_path(self.folder, self.number), asdict(record), durable=False)

    def _beat(self) -> None:
        # Through the open file, not its path: a lease that was taken over must not be refreshed by its former holder.
        with _path(self.folder, self.number).open("rb") as file:
            while not self._ended.wait(REFRESH_SECONDS):
                os.utime(file.fileno())


@contextlib.contextmanager
def _temporary(folder: Path, record: Record) -> Iterator[Path]:
    path = folder / f".{uuid.uuid4().hex}"
    try:
        path.write_text(json.dumps(asdict(record)), encoding="utf-8")
        yield path
    finally:
        path.unlink(missing_ok=True)


def _now(folder: Path) -> float:
    """The file system's own time, which on a network disk is not this host's."""
    path = folder / f".{uuid.uuid4().hex}"
    try:
        path.touch()
        return path.stat().st_mtime
    except PermissionError:  # somebody else's results, looked at only
        return time.time()
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.json"


def _numbers(folder: Path) -> list[int]:
    try:
        return sorted(int(path.stem) for path in folder.glob("[0-9]*.json"))
    except FileNotFoundError:
        return []
